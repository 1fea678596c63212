"""The keys of fees: tiers are taken as they are written, and in order of their volume only."""

from decimal import Decimal
from pathlib import Path

import pytest

from daemon.config.papers import tiers
from tests.test_config import changed, read, refusals

FEE = "{maker: 0.001, taker: 0.00075}"


def with_tiers(text: str) -> str:
    """The sample configuration with these."""
    return changed((FEE, f"{{maker: 0.001, taker: 0.00075, tiers: [{text}]}}"))


def test_tiers_are_taken_as_they_are_written(tmp_path: Path) -> None:
    """Volumes and rates reach the account to the digit."""
    rows = "{volume: 1000000, maker: 0.0009, taker: 0.0007}, {volume: 5e6, maker: -0.00005, taker: 0.0006}"
    told = [(tier.volume, tier.maker, tier.taker) for tier in tiers(read(tmp_path, with_tiers(rows)).paper.fee)]
    assert told == [tuple(map(Decimal, row.split())) for row in ("1000000 0.0009 0.0007", "5000000 -0.00005 0.0006")]


@pytest.mark.parametrize("volumes", [(0,), (5, 5), (5, 3)])
def test_tiers_grow(tmp_path: Path, volumes: tuple[int, ...]) -> None:
    """A tier that begins where another does, or below it, would never hold."""
    text = ", ".join(f"{{volume: {volume}, maker: 0, taker: 0}}" for volume in volumes)
    (sentence,) = refusals(tmp_path, with_tiers(text))
    place = f"paper.fee.tiers[{len(volumes) - 1}].volume"
    assert sentence == f"{place} is not above what comes before it; order the tiers by growing volume, from above 0 on"
