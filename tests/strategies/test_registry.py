"""Every shipped strategy: its file explains it, a configuration can name it, and what does not fit is told where it stands."""

import dataclasses
import inspect
from pathlib import Path
from typing import Final

import pytest

from daemon.assembly import deciding, rosters
from daemon.config import ConfigError, load
from strategies import REGISTRY

NEEDED: Final = {
    "pairs": "{pair: [A/USDT, B/USDT], mode: long_only}",
    "fixed_weights": "{weights: {A/USDT: 0.5}}",
    "long_short_momentum": "{top: 2, bottom: 2}",
}
SHORT: Final = {"long_short_momentum"}  # for swaps only
OPTIONAL: Final = {"minimum_variance", "risk_parity", "hierarchical_risk_parity"}


def written(folder: Path, use: str, params: str, *, market: str = "spot", sectors: str = "{one: [A/USDT], two: [B/USDT]}") -> Path:
    """A configuration of one strategy."""
    names = [f"{letter}/USDT{':USDT' if market == 'swap' else ''}" for letter in "ABCD"]
    path = folder / "one.yaml"
    path.write_text(
        f"name: one\nmode: paper\nexchange: {{id: binance, market: {market}}}\ntimeframe: 1h\n"
        f"universe: {{quote: USDT, symbols: [{', '.join(names)}], sectors: {sectors}}}\n"
        f"strategies: [{{name: it, use: {use}, params: {params}}}]\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("use", sorted(REGISTRY))
def test_a_file_explains_itself(use: str) -> None:
    """The head of a strategy's file has the idea, every parameter, and when it fails."""
    text = inspect.getdoc(inspect.getmodule(REGISTRY[use])) or ""
    assert "Idea: " in text
    assert "\nIt fails " in text or " It fails " in text
    assert all(f"`{each.name}`" in text for each in dataclasses.fields(REGISTRY[use].Params))


@pytest.mark.parametrize("use", sorted(REGISTRY.keys() - OPTIONAL))
def test_a_configuration_can_name_it(use: str, tmp_path: Path) -> None:
    """With nothing but what it must be told, it is built, at its usual period."""
    where = {"market": "swap", "sectors": "{}"} if use in SHORT else {}
    config = load(written(tmp_path, use, NEEDED.get(use, "{}"), **where), {})
    assert deciding.runner(config).need >= 1
    assert config.strategies[0].schedule.every == {"pairs": 1, "sector_rotation": 48}.get(use, 24)


@pytest.mark.parametrize(
    ("use", "params", "says"),
    [
        (
            "pairs",
            "{pair: [A/USDT, B/USDT]}",
            "strategies[0].params.mode long_short sells what it does not own, which exchange.market spot cannot;",
        ),
        ("pairs", "{pair: [A/USDT, Z/USDT], mode: long_only}", "strategies[0].params.pair has Z/USDT, which is not in universe.symbols;"),
        ("risk_adjusted", "{weight_max: 0.2}", "strategies[0].params.weight_max of 0.2 makes 0.8 for the 4 symbols of the universe,"),
        ("fixed_weights", "{weights: {Z/USDT: 0.2}}", "strategies[0].params.weights.Z/USDT is not in universe.symbols;"),
        (
            "long_short_momentum",
            "{}",
            "strategies[0].use long_short_momentum sells what it does not own, which exchange.market spot cannot;",
        ),
    ],
)
def test_what_does_not_fit_is_told_where_it_stands(use: str, params: str, says: str, tmp_path: Path) -> None:
    """Parameters that are right by themselves and do not fit the universe are the configuration's mistake, at their key."""
    path = written(tmp_path, use, params)
    with pytest.raises(ConfigError) as told:
        deciding.runner(load(path, {}))
    assert str(told.value).startswith(f"{path}: {says}")


def test_a_swap_can_be_sold_short(tmp_path: Path) -> None:
    """On swaps the same pair may be long and short."""
    path = written(tmp_path, "pairs", "{pair: ['A/USDT:USDT', 'B/USDT:USDT']}", market="swap", sectors="{}")
    assert deciding.runner(load(path, {})).need > 1


def test_more_places_than_symbols_are_told_at_their_key(tmp_path: Path) -> None:
    """Three to buy and three to sell do not fit into four symbols."""
    path = written(tmp_path, "long_short_momentum", "{}", market="swap", sectors="{}")
    with pytest.raises(ConfigError) as told:
        deciding.runner(load(path, {}))
    place = f"{path}: strategies[0].params.top"
    assert str(told.value).startswith(
        f"{place} of 3 and bottom of 3 are 6 symbols, and the universe has 4; lower one of them, or add symbols"
    )


def test_sectors_that_cannot_be_used_are_said_once(tmp_path: Path) -> None:
    """A sector's symbol that is not traded, and a symbol without a sector, are each named once, and nothing is refused."""
    config = load(written(tmp_path, "sector_rotation", "{}", sectors="{one: [A/USDT, Z/USDT], two: [B/USDT], gone: [Y/USDT]}"), {})
    assert rosters.remarks(config) == (
        "universe.sectors: not in universe.symbols and so skipped: Z/USDT (one), Y/USDT (gone)",
        "universe.sectors: in no sector, and so never chosen by a rotation of sectors: C/USDT, D/USDT",
    )
    assert rosters.universe(config).sectors == {"one": ("A/USDT",), "two": ("B/USDT",)}
