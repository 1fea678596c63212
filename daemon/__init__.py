"""rebalanced: a daemon that trades a portfolio of crypto assets to target weights."""

from importlib.metadata import version

__version__ = version("rebalanced")
