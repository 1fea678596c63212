"""A fault script: what may stand in it, and that each mistake is a sentence with place and remedy."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.config import tree
from daemon.venue.faults import Garble, Lag, Mishap, Reply
from daemon.venue.faultscript import VERBS, FaultsRefused, read
from tests.venue.wire import Floor

WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (None, "here: faults[0] is not a mapping; write it like {do: accept_drop, count: 1}"),
    "no list": ({"faults": "many"}, "here: faults is not a list of faults; write up to 1000"),
    "an empty list": ([], "here: faults is not a list of faults"),
    "an unknown key above": ({"sead": 1, "faults": [{"do": "lose"}]}, "here: sead is not known here; did you mean seed?"),
    "no verb": ({"do": ""}, "here: faults[0].do is not a fault; write one of accept_drop"),
    "a missing verb": ([{"count": 1}], "here: faults[0].do is missing; write one of accept_drop"),
    "a slip in a verb": ([{"do": "lose"}, {"do": "accept_dorp"}], "here: faults[1].do is not a fault; did you mean accept_drop?"),
    "an unknown key": ({"do": "lose", "cuont": 1}, "here: faults[0].cuont is not known here; did you mean count?"),
    "a key of another verb": ({"do": "clock", "offset": "1s", "count": 3}, "here: faults[0].count is not known here"),
    "a missing time": ({"do": "accept_late"}, "here: faults[0].delay is missing; write it like 500ms, 2s, 5m or 1h"),
    "a time without a unit": ({"do": "accept_late", "delay": 2}, "here: faults[0].delay is not a duration; write it like"),
    "a negative time": ({"do": "accept_late", "delay": "-2s"}, "here: faults[0].delay is not a duration"),
    "an end before the beginning": ({"do": "lose", "from": "5s", "until": "5s"}, "here: faults[0].until is not after `from`; both count"),
    "a probability of two": (
        {"do": "lose", "probability": 2},
        "here: faults[0].probability is not such a number; write a number from 0",
    ),
    "no number": ({"do": "lose", "probability": "nan"}, "here: faults[0].probability is not such a number"),
    "a count of none": ({"do": "lose", "count": 0}, "here: faults[0].count is not such a number; write a whole number from 1"),
    "a count that is a word": ({"do": "lose", "count": True}, "here: faults[0].count is not such a number"),
    "no such end point": (
        {"do": "lose", "on": ["orders"]},
        "here: faults[0].on names something that is not there; write one of acc",
    ),
    "an end point for a stream": (
        {"do": "ws.mute", "on": "order.place"},
        "here: faults[0].on names something that is not there; write one of market, user",
    ),
    "a look-up that shows no trades": (
        {"do": "lag", "of": "trades", "delay": "1s", "on": "order.status"},
        "here: faults[0].on names something that is not there; write one of income, myTrades",
    ),
    "a side of none": (
        {"do": "lose", "side": "buy"},
        "here: faults[0].side is none of the words of its kind; write one of BUY, SELL",
    ),
    "no answer for what is not done": ({"do": "http", "accepted": False}, "here: faults[0].body is missing; the true answer exists only"),
    "headers that are none": (
        {"do": "http", "headers": ["a"]},
        "here: faults[0].headers is not a mapping of names to texts",
    ),
    "a patch of nothing": ({"do": "market", "symbol": "BTC/USDT"}, "here: faults[0] changes nothing; give it halted, delisted, step, tick"),
    "a step of nothing": ({"do": "market", "step": 0}, "here: faults[0].step is not such a number; write a number above 0"),
    "a flag that is none": ({"do": "market", "halted": "yes"}, "here: faults[0].halted is neither true nor false; write true or false"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_one_sentence(what: str) -> None:
    """Each mistake is told with its place and what to write instead, and nothing of the script comes into force."""
    script, said = WRONG[what]
    with pytest.raises(FaultsRefused) as refused:
        read(script, "here")
    (problem,) = refused.value.problems
    assert problem.startswith(said)
    assert ";" in problem
    assert "\n" not in problem


def test_all_mistakes_are_told_at_once() -> None:
    """Whoever corrects a script sees all that is wrong with it."""
    with pytest.raises(FaultsRefused) as refused:
        read([{"do": "lose", "count": -1, "hang": "long"}, {"do": "nothing"}, 7], "here")
    assert [problem.split()[1] for problem in refused.value.problems] == ["faults[0].hang", "faults[0].count", "faults[1].do", "faults[2]"]


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    """A script means the same as YAML and as JSON, numbers, texts and times alike."""
    (tmp_path / "a.yaml").write_text(
        """
seed: 7
faults:
  - {do: http, status: 429, headers: {Retry-After: 35}, body: "{}", on: private, probability: 0.25, until: 1m}
  - do: lag
    of: balances
    delay: 1.5s
  - {do: ws.delay, delay: 250ms, on: user}
"""
    )
    (tmp_path / "a.json").write_text(
        '{"seed": 7, "faults": [{"do": "http", "status": 429, "headers": {"Retry-After": "35"}, "body": "{}", "on": "private",'
        '"probability": 0.25, "until": "60s"}, {"do": "lag", "of": "balances", "delay": "1500ms"},'
        '{"do": "ws.delay", "delay": "250ms", "on": ["user"]}]}'
    )
    scripts = [read(tree(tmp_path / name, ""), name) for name in ("a.yaml", "a.json")]
    faults = [[(f.do, f.effect, f.scope, f.often) for f in script.faults] for script in scripts]
    assert faults[0] == faults[1]
    assert [script.seed for script in scripts] == [7, 7]
    assert [effect for _, effect, _, _ in faults[0]] == [
        Mishap(accepted=False, reply=Reply(status=429, headers={"Retry-After": "35"}, body="{}")),
        Lag(1500),
        Garble(way="delay", ms=250),
    ]
    assert "order.place" in faults[0][0][2].on
    assert "klines" not in faults[0][0][2].on


def test_every_verb_is_documented() -> None:
    """docs/venue.md has a row for every fault there is."""
    text = (Path(__file__).parents[2] / "docs" / "venue.md").read_text()
    assert [verb for verb in VERBS if f"| `{verb}`" not in text] == []


def test_a_wrong_file_ends_the_verb(tmp_path: Path) -> None:
    """`venue --faults FILE` with a mistake is wrong use: one sentence a mistake, exit code 2."""
    path = tmp_path / "faults.yaml"
    for text, said in (
        ("- {do: lsoe}", f"{path}: faults[0].do is not a fault; did you mean lose?"),
        ("do: [", f"{path}: line 1, column"),
        ("", f"{path}: the file is empty; write what goes wrong"),
        ("{do: lose, do: lose}", f"{path}: do stands in line 1 and again"),
    ):
        path.write_text(text)
        answer = CliRunner().invoke(app, ["venue", "--port", "0", "--faults", str(path)])
        assert answer.exit_code == 2
        assert answer.stderr.startswith(said), answer.stderr
        assert answer.stderr.count("\n") == 1


async def test_a_wrong_post_changes_nothing() -> None:
    """Over HTTP a mistake is 400 with the same sentences, and none of its faults is in force."""
    async with Floor(balance={"USDT": Decimal(1)}) as floor:
        answer = await floor.wire.fault({"do": "lose"}, {"do": "loose"})
        assert answer["problems"] == ["POST /venue/faults: faults[1].do is not a fault; did you mean lose?"]
        assert (await floor.wire.get("/venue/faults"))[1]["faults"] == []
