"""One wave out of a log: all of its lines, none of another, however the log comes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.tools.logstory import Line, NoSuchWave, chosen, lines_of, waves_of


def line(event: str, **fields: object) -> str:
    """A line as the daemon writes it."""
    return json.dumps({"ts": "2026-01-02T00:00:03.000000Z", "level": "info", "event": event, "name": "momo", **fields})


def rebalance(number: int, **more: object) -> list[str]:
    """The lines of one, with one order whose fill does not name its decision."""
    ids = {"decision_id": f"d{number}", **more}
    order = {"order_id": f"o{number}", "symbol": "BTC/USDT", **more}
    return [
        line("slice.closed", closes_at=f"2026-01-02T0{number}:00:00Z", coverage=1.0, **more),
        line("targets.chosen", as_of=f"2026-01-02T0{number}:00:00Z", cause="due", **ids),
        line("order.submitted", **ids, **{k: v for k, v in order.items() if k not in ids}),
        line("account.reconciled", **more),
        line("order.filled", **order),
        line("wave.settled", sent=1, filled=1, refused={}, cost_bps=9.5, **ids),
    ]


LOG = [
    "Traceback (most recent call last):",
    line("daemon.ready"),
    *rebalance(1),
    line("slice.closed", closes_at="2026-01-02T01:30:00Z"),
    '{"event": 3}',
    "{" * 5000,
    *rebalance(2),
    line("order.filled", order_id="foreign", symbol="ETH/USDT"),
]
WHOLE = ["slice.closed", "targets.chosen", "order.submitted", "order.filled", "wave.settled"]


def events(lines: Sequence[Line]) -> list[object]:
    """Their names."""
    return [each["event"] for each in lines]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_wave_has_all_of_its_lines_and_no_other(wrapped: bool) -> None:
    """From the bars it saw to its result, a fill that names only its order included, plain or wrapped by journald."""
    texts = [json.dumps({"MESSAGE": text, "PRIORITY": "6"}) for text in LOG] if wrapped else LOG
    waves = waves_of(lines_of(texts))
    assert [(wave.decision_id, events(wave.lines)) for wave in waves] == [("d1", WHOLE), ("d2", WHOLE)]
    assert waves[1].lines[0]["closes_at"] == "2026-01-02T02:00:00Z"


def test_accounts_are_kept_apart() -> None:
    """Two accounts may have a decision of one id at one moment; each has its own lines."""
    mixed = [text for pair in zip(rebalance(1, account="a"), rebalance(1, account="b"), strict=True) for text in pair]
    waves = waves_of(lines_of(mixed))
    assert [(wave.account, {each["account"] for each in wave.lines}, events(wave.lines)) for wave in waves] == [
        ("a", {"a"}, WHOLE),
        ("b", {"b"}, WHOLE),
    ]


def test_a_wave_is_named_by_its_decision_or_counted_from_the_newest() -> None:
    """What is not there is refused with how many there are."""
    waves = waves_of(lines_of(LOG))
    assert [chosen(waves, wanted).decision_id for wanted in ("d1", "1", "2")] == ["d1", "d2", "d1"]
    for wanted in ("0", "3", "d3", "-1"):
        with pytest.raises(NoSuchWave, match="it has 2"):
            chosen(waves, wanted)


def test_the_verb_lists_and_tells(tmp_path: Path) -> None:
    """A file is listed newest first, one wave is told line by line, a pipe works, and a missing file is one sentence."""
    log = tmp_path / "momo.log"
    log.write_text("\n".join(LOG))
    run = CliRunner()
    listing = run.invoke(app, ["logs", str(log)]).output.splitlines()
    assert [row.split()[1] for row in listing[2:]] == ["d2", "d1"]
    assert "order.filled" in run.invoke(app, ["logs", str(log), "--wave", "1"]).output
    piped = run.invoke(app, ["logs", "--wave", "d1", "--json"], input="\n".join(LOG)).output.splitlines()
    assert events([json.loads(text) for text in piped]) == WHOLE
    missing = run.invoke(app, ["logs", str(tmp_path / "none.log")])
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)
    assert run.invoke(app, ["logs", str(log), "--wave", "9"]).exit_code == 1


def test_a_log_for_people_is_not_an_empty_list(tmp_path: Path) -> None:
    """Where no line can be read, as of a console's log, the verb says what it could have read, whether a list or a wave was wanted."""
    log = tmp_path / "console.log"
    log.write_text("12:00:00 order.filled         symbol=BTC/USDT  amount=0.5\n")
    for more in ([], ["--wave", "1"]):
        ended = CliRunner().invoke(app, ["logs", str(log), *more])
        assert (ended.exit_code, "logging.format: json" in ended.stderr) == (1, True), ended.output
    machines = CliRunner().invoke(app, ["logs", str(log), "--json"])
    assert (machines.exit_code, json.loads(machines.stdout)) == (0, [])
