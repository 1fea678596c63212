"""Renewing: other strategies by SIGHUP, on a real exchange, and a SIGKILL right after it."""

import signal
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from daemon.core.ledger import Ledger
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from daemon.io.journal import read
from tests import ownfiles
from tests.process.books import disagreements
from tests.process.support import PATIENCE_S, SYMBOLS, Daemon, Line, Venue, written

BTC: Final = "BTC/USDT"
ONCE: Final = {"every": 86_400, "at_start": True}
HOLDS: Final = {"name": "holds", "use": "fixed_weights", "share": 0.6, "schedule": ONCE, "params": {"weights": {"ETH/USDT": 0.5}}}
WAITS: Final = {"name": "waits", "use": "equal_weight", "share": 0.1, "schedule": {"every": 86_400}}


def mine(folder: Path, length: int) -> dict[str, Any]:
    """A strategy of the user's own: half of its money is in the first symbol."""
    use = f"./{ownfiles.written(folder, 'behaves').name}:Mine"
    return {"name": "mine", "use": use, "share": 0.3, "schedule": {"every": 1}, "params": {"length": length}}


def sections(*strategies: dict[str, Any]) -> dict[str, Any]:
    """These strategies, traded from a distance that is worth an order."""
    return {"strategies": strategies, "removed_strategies": "keep", "execution": {"band": 0.001}}


def workers(daemon: Daemon) -> set[int]:
    """The processes that it has started."""
    found: set[int] = set()
    for task in Path(f"/proc/{daemon.pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found |= set(map(int, (task / "children").read_text().split()))
    return found


def reloaded(daemon: Daemon, config: Path) -> Line:
    """What comes of a SIGHUP."""
    since = len(daemon.lines)
    daemon.send(signal.SIGHUP)
    return daemon.wait(since=since, where=lambda line: line["event"] in ("config.reloaded", "config.refused"))


def sleeves(journal: Path) -> dict[tuple[str, str], Decimal]:
    """Who holds what, as the journal has it."""
    record = read(journal)
    found = Portfolio((), Ledger(), OrderTable())
    found.restore(record.flows, record.fills, record.bookings, record.splits, record.order_ids)
    assert not found.left_over()
    return found.holdings()


def test_strategies_change_under_a_running_daemon(venue: Venue, tmp_path: Path) -> None:
    """One is added, made anew and refused, one removed and its coins kept; a kill right after that, and the next start, move nothing."""
    config, journal = written(tmp_path, venue, **sections(HOLDS, WAITS)), tmp_path / "momo.sqlite"
    with Daemon(config) as daemon:
        daemon.settled(sent=1)
        bought = sleeves(journal)["holds", "ETH"]
        assert workers(daemon) == set()

        written(tmp_path, venue, **sections(HOLDS, WAITS, mine(tmp_path, 3)))
        told = reloaded(daemon, config)
        assert told["changed"] == ["strategies.mine"]
        (first,) = workers(daemon)
        daemon.settled(sent=1, since=daemon.lines.index(told))
        assert sleeves(journal)["mine", "BTC"] > 0

        written(tmp_path, venue, **sections(HOLDS, WAITS, mine(tmp_path, 5)))
        assert reloaded(daemon, config)["changed"] == ["strategies.mine.params.length"]
        deadline = time.monotonic() + 10
        while len(workers(daemon)) > 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        (second,) = workers(daemon)
        assert second != first

        broken = mine(tmp_path, 7) | {"use": "./broken.py:Mine"}
        (tmp_path / "broken.py").write_text("import no_such_module\nclass Mine: ...\n")
        written(tmp_path, venue, **sections(HOLDS, WAITS, broken))
        assert "no_such_module" in reloaded(daemon, config)["reason"]
        assert workers(daemon) == {second}

        since = len(daemon.lines)
        written(tmp_path, venue, **sections(WAITS, mine(tmp_path, 5)))
        assert set(reloaded(daemon, config)["changed"]) == {"strategies.holds"}
        daemon.kill()
        orders = [line for line in daemon.lines[since:] if line["event"] == "order.submitted" and line["symbol"] != BTC]
    with Daemon(config) as again:
        again.wait("wave.settled")
        again.wait("wave.settled", since=len(again.lines))
        again.stop(within=PATIENCE_S)
        orders += [line for line in again.lines if line["event"] == "order.submitted" and line["symbol"] != BTC]
    assert orders == []
    held = sleeves(journal)
    assert ("holds", "ETH") not in held
    assert held["unassigned", "ETH"] == bought
    assert disagreements(venue.state(), journal, SYMBOLS) == []
