"""rebalanced: a daemon that trades a portfolio of crypto assets to target weights."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """`__version__`, looked up where it is asked for: whoever only counts bars need not read the metadata of packages."""
    if name != "__version__":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib.metadata import version

    return version("rebalanced")
