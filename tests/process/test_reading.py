"""Reading: what a person can ask of a running daemon, and of a configuration before it runs."""

import json
import signal
from pathlib import Path

from tests.process.support import SYMBOLS, Daemon, Venue, asked, written

VERBS = ("status", "positions", "targets", "orders", "fills")
WORDS = {"status": ("running", "BTC/USDT", "equity")}  # the other layouts are tested where they are made


def test_a_running_daemon_is_read(venue: Venue, tmp_path: Path) -> None:
    """Every reading verb answers for a person and for a program, and SIGHUP is answered by one line and changes nothing."""
    with Daemon(written(tmp_path, venue, every=86_400)) as daemon:
        daemon.settled(sent=1)
        url = daemon.url()
        for verb, words in WORDS.items():
            shown = asked(verb, "--url", url, folder=tmp_path, environ={"COLUMNS": "200"})
            assert (shown.returncode, shown.stderr) == (0, "")
            assert [word for word in words if word not in shown.stdout] == [], shown.stdout
        answers = {verb: json.loads(asked(verb, "--url", url, "--json", folder=tmp_path).stdout) for verb in VERBS}
        assert answers["status"]["state"] == "running"
        assert {row["symbol"] for row in answers["positions"]} == {*SYMBOLS, "USDT"}
        assert {fill["order_id"] for fill in answers["fills"]} <= {order["id"] for order in answers["orders"]}
        assert sum(row["weight"] for row in answers["targets"]) > 0.79

        since = len(daemon.lines)
        daemon.send(signal.SIGHUP)
        line = daemon.wait("config.reloaded", since=since)
        assert (line["level"], line["changed"]) == ("info", [])
        daemon.wait("slice.closed", since=since)
        daemon.stop()
        assert daemon.count("config.reloaded") == 1


def test_nobody_there_is_said(tmp_path: Path) -> None:
    """Without a daemon a reading verb says so and fails."""
    shown = asked("status", "--url", "http://127.0.0.1:9", folder=tmp_path)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "is the daemon running?" in shown.stderr


def test_configuration_is_checked(venue: Venue, tmp_path: Path) -> None:
    """`check` tells what would trade and what the venue says of it, and `--offline` asks nobody and needs no keys."""
    config = written(tmp_path, venue)
    shown = asked("check", config, folder=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, ""), shown
    assert [
        word for word in ("binance answers", "BTC/USDT: steps of", "the account holds 100000", "USDT") if word not in shown.stdout
    ] == []
    seen = venue.state()["requests"]
    offline = asked("check", config, "--offline", folder=tmp_path, environ={"KEY": "", "SECRET": ""})
    assert (offline.returncode, "not asked" in offline.stdout) == (0, True), offline
    after = venue.state()
    assert (after["requests"], after["orders"]) == (seen, [])
    assert not (tmp_path / "momo.sqlite").exists()


def test_schema_is_json(tmp_path: Path) -> None:
    """`schema` prints a JSON schema that names the sections."""
    shown = asked("schema", folder=tmp_path)
    assert {"mode", "exchange", "strategies"} <= json.loads(shown.stdout)["properties"].keys()
