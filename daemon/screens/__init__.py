"""Screens: what a running daemon or the journal answers, laid out for a person in a terminal."""
