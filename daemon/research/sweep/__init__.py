"""Sweep: many backtests of one configuration, over the values of some of its keys, and what they say together."""
