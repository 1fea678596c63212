"""Sectors: groups of symbols by name, checked once for everything that uses them.

Rule: a symbol is in one sector at most. What cannot be used is left out and said, once.
"""

from collections.abc import Mapping, Sequence
from typing import Final

Sectors = Mapping[str, tuple[str, ...]]

# A universe of a thousand symbols would make a sentence that nobody reads.
TOLD: Final = 12


def check_once(sectors: Sectors) -> None:
    """Raise ValueError, as a sentence, unless every sector has symbols and every symbol is in one sector, once."""
    place: dict[str, str] = {}
    for sector, symbols in sectors.items():
        if not symbols:
            raise ValueError(f"sectors.{sector} is empty; name its symbols, or leave it out")
        for symbol in symbols:
            if symbol in place:
                where = "twice" if place[symbol] == sector else f"in sectors.{place[symbol]} too"
                raise ValueError(f"sectors.{sector} has {symbol}, which is there {where}; a symbol is in one sector, once")
            place[symbol] = sector


def within(sectors: Sectors, symbols: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The sectors with the symbols that are traded, without those left empty; and what is to be said of the rest, in sentences."""
    traded = set(symbols)
    kept = {sector: tuple(symbol for symbol in members if symbol in traded) for sector, members in sectors.items()}
    skipped = [f"{symbol} ({sector})" for sector, members in sectors.items() for symbol in members if symbol not in traded]
    alone = sorted(traded - {symbol for members in kept.values() for symbol in members})
    remarks = []
    if skipped:
        remarks.append(f"sectors: not in universe.symbols and so skipped: {_listed(skipped)}")
    if alone and sectors:
        remarks.append(f"sectors: in no sector, and so never chosen by a rotation of sectors: {_listed(alone)}")
    return {sector: members for sector, members in kept.items() if members}, tuple(remarks)


def _listed(words: Sequence[str]) -> str:
    more = len(words) - TOLD
    return ", ".join(words[:TOLD]) + (f" and {more} more" if more > 0 else "")
