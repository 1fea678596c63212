"""Command line: the verbs of `rebalanced`, a file for each group of them."""
