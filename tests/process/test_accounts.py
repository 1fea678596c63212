"""Accounts: several in one daemon, at exchanges of their own: what befalls one of them does not concern the others."""

import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from tests.process.books import disagreements
from tests.process.support import SYMBOLS, Daemon, Venue, several

TROUBLED_S = 2.5

REFUSAL = '{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'
LIES = (
    {"do": "accept_drop"},
    {"do": "lag", "of": "balances", "delay": "30s"},
    {"do": "http", "on": "account.status", "body": "[]", "every": 2},
    {"do": "ws.freeze"},
)
# By what befalls the other exchange; after the last one nothing helps.
TROUBLES = {
    "it lies": LIES,
    "it refuses the key": ({"do": "http", "on": "private", "status": 401, "body": REFUSAL},),
    "it bans us": ({"do": "ban", "for": "60s"},),
}


def settled(daemon: Daemon, account: str, since: int = 0) -> None:
    """Wait for a wave of an account that knows what became of every order."""
    daemon.wait(
        "wave.settled",
        since=since,
        where=lambda line: line["account"] == account and "order_unknown" not in line["left"].values(),
        within=90.0,
    )


def decided(daemon: Daemon, account: str, since: int = 0) -> list[datetime]:
    """The close times that an account has decided at, in order."""
    lines = [line for line in daemon.lines[since:] if line["event"] == "targets.chosen" and line["account"] == account]
    return [datetime.fromisoformat(line["as_of"]) for line in lines]


def test_what_befalls_one_account_does_not_concern_the_other(tmp_path: Path) -> None:
    """While one exchange lies, refuses the key, bans us and dies, the other account decides at every close, and trades."""
    with Venue(folder=tmp_path) as one, Venue("--seed", "2", folder=tmp_path) as two:
        with Daemon(several(tmp_path, {"one": one, "two": two})) as daemon:
            for name in ("one", "two"):
                settled(daemon, name)
            since = len(daemon.lines)
            for faults in TROUBLES.values():
                two.post("/venue/faults", faults=list(faults))
                time.sleep(TROUBLED_S)
            status = daemon.get("/api/v1/status")[1]
            two.kill()
            time.sleep(TROUBLED_S)
            settled(daemon, "one", since=len(daemon.lines))
            daemon.stop(within=20.0)
            moments = decided(daemon, "one", since)
        assert {after - before for before, after in pairwise(moments)} == {timedelta(seconds=1)}
        assert len(moments) >= (len(TROUBLES) + 1) * TROUBLED_S
        states = {row["account"]: (row["state"], row["reason"]) for row in status["accounts"]}
        assert (states["one"], states["two"] == ("running", "")) == (("running", ""), False)
        assert disagreements(one.state(), tmp_path / "momo.one.sqlite", SYMBOLS) == []


def test_a_kill_leaves_both_accounts_as_their_exchanges_have_them(tmp_path: Path) -> None:
    """Killed in the middle of trading on two exchanges, the next start takes both up, and each journal is its exchange's to the unit."""
    with Venue(folder=tmp_path) as one, Venue("--seed", "2", folder=tmp_path) as two:
        config = several(tmp_path, {"one": one, "two": two})
        with Daemon(config) as daemon:
            for name in ("one", "two"):
                daemon.wait("order.submitted", where=lambda line, name=name: line["account"] == name)  # type: ignore[misc]
            daemon.kill()
        with Daemon(config) as daemon:
            for name in ("one", "two"):
                settled(daemon, name)
            daemon.stop()
        for name, venue in (("one", one), ("two", two)):
            assert disagreements(venue.state(), tmp_path / f"momo.{name}.sqlite", SYMBOLS) == []
