"""Waves of the plain case, worked off in one go: the same run as event by event, whatever is bought, refused or cut short."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from daemon.core.events import TargetsChosen
from daemon.core.model import Slice
from daemon.research.brisk import Brisk
from tests.research.files import configured
from tests.research.test_skim import SYMBOLS, files, market

CASES = int(os.environ.get("REBALANCED_SKIMS", "8"))
FIRST = int(os.environ.get("REBALANCED_SEED", "0"))
OPTIMISED = ["minimum_variance", "hierarchical_risk_parity", "risk_parity"] if find_spec("skfolio") else []


def strategy(chance: Random) -> dict[str, Any]:
    """One that ships and trades spot, with parameters that make it trade often."""
    sectors = {"one": ["A/USDT", "B/USDT"], "other": ["C/USDT", "D/USDT", "E/USDT"]}
    params: dict[str, dict[str, Any]] = {
        "portfolio_momentum": {"lookback": 3, "rsi_period": 3, "top": chance.randint(1, 4), "exposure": chance.choice([0.5, 0.8, 1.0])},
        "equal_weight": {"exposure": chance.choice([0.5, 1.0])},
        "fixed_weights": {"weights": {"A/USDT": 0.5, "C/USDT": 0.3, "E/USDT": 0.2}},
        "risk_adjusted": {"lookback": 5, "half_life": 5, "covariance_window": 10},
        "sector_rotation": {"lookback": 3, "sectors": sectors, "exposure": 1.0},
        "pairs": {"pairs": [["A/USDT", "B/USDT"], ["C/USDT", "D/USDT"]], "lookback": 8, "entry": 0.8, "mode": "long_only", "size": 0.5},
        **{name: {"lookback": 20} for name in OPTIMISED},
    }
    use = chance.choice(["portfolio_momentum", *params])
    schedule = {"every": chance.choice([1, 2, 6])} | chance.choice([{}, {"at_start": True}])
    return {"name": "s", "use": use, "share": chance.choice([0.4, 1.0]), "schedule": schedule, "params": params[use]}


def sections(chance: Random) -> dict[str, Any]:
    """A configuration of the plain case, and what makes waves other than plain: money that is short, minimums, limits on weights."""
    return {
        "strategies": [strategy(chance)],
        "paper": {
            "balances": {"USDT": chance.choice([10_000, 120, 31]), **chance.choice([{}, {}, {"A": 3}])},
            "fee": chance.choice([0, 0.001, 0.0075]),
            "slippage_bps": chance.choice([0, 5, 60]),
        },
        "risk": chance.choice([{}, {"weight_max": 0.3}, {"gross": 0.7}, {"positions_max": 2}]),
        "capital": chance.choice([{}, {"cash_buffer": 0.02}, {"fixed": 5_000, "compounding": "half"}]),
        "execution": {"band": chance.choice([0.0, 0.01]), "band_relative": chance.choice([0.0, 0.1])}
        | chance.choice([{}, {"destination": "edge"}, {"turnover_max": 0.4}]),
        "backtest": chance.choice([{}, {}, {"fills": "twap"}]),
    }


def rules(folder: Path, chance: Random) -> None:
    """The rules of some markets: steps and minimums that a small account meets."""
    told = {
        symbol: {"amount_step": chance.choice(["0.001", "1"]), "price_tick": chance.choice(["0.01", "0.0001"]), "notional_min": "10"}
        for symbol in chance.sample(SYMBOLS, chance.choice([0, 3, 5]))
    }
    if told:
        (folder / "markets.json").write_text(json.dumps(told))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_a_run_is_the_same_event_by_event(seed: int, tmp_path: Path) -> None:
    """Every file and every number of a run is the same, with waves in one go and with the parts hearing of each event."""
    chance = Random(seed)
    data = market(tmp_path / "data", chance, 90)
    rules(data, chance)
    config = configured(tmp_path, SYMBOLS, **sections(chance))
    in_one_go, by_events = (files(config, data, tmp_path / str(skims), skims=skims) for skims in (True, False))
    assert json.dumps(in_one_go[1], sort_keys=True) == json.dumps(by_events[1], sort_keys=True)
    assert in_one_go[0] == by_events[0]


def test_most_waves_of_a_plain_run_go_in_one(tmp_path: Path) -> None:
    """Without limits on orders, and with money enough, the parts are hardly asked."""
    data = market(tmp_path / "data", Random(4), 200)
    went: list[bool] = []
    take = Brisk.take

    def counted(self: Brisk, chosen: TargetsChosen, closed: Slice) -> bool:
        went.append(take(self, chosen, closed))
        return went[-1]

    momentum = {"name": "m", "use": "portfolio_momentum", "schedule": {"every": 4}, "params": {"lookback": 3, "rsi_period": 3}}
    with patch.object(Brisk, "take", counted):
        files(configured(tmp_path, SYMBOLS, strategies=[momentum]), data, tmp_path / "out", skims=True)
    assert sum(went) > 0.8 * len(went) > 20
