"""Outages: a venue that is away is waited for, calmly and aloud, and nothing secret is said meanwhile."""

import signal
import time
from pathlib import Path

from tests.process.books import disagreements
from tests.process.support import KEY, PATIENCE_S, SECRET, SYMBOLS, Daemon, Venue, free_port, written

AWAY_S = 3.0
ASLEEP_S = 5.5
VIEWS = ("/healthz", "/readyz", *(f"/api/v1/{view}" for view in ("status", "positions", "targets", "orders", "fills")))


def test_venue_down_at_start(tmp_path: Path) -> None:
    """It starts without its venue, is healthy and not ready, says so, and trades once the venue is there; no secret shows at debug."""
    port, journal = free_port(), tmp_path / "momo.sqlite"
    with Daemon(written(tmp_path, f"http://127.0.0.1:{port}", logging={"level": "debug"})) as daemon:
        told = daemon.wait("exchange.unreachable")
        assert told["level"] == "warning"
        assert daemon.get("/healthz")[0] == 200
        status, answer = daemon.get("/readyz")
        assert status == 503
        assert any("does not answer" in sentence for sentence in answer["failing"]), answer
        answers = [daemon.get(path) for path in VIEWS]
        with Venue(folder=tmp_path, port=port) as venue:
            daemon.settled(sent=1)
            answers += [daemon.get(path) for path in VIEWS]
            assert daemon.get("/readyz")[0] == 200
            daemon.kill()
            state = venue.state()
            assert state["trades"] != []
        assert not any(canary in str(answers) for canary in (KEY, SECRET))
    assert not any(canary.encode() in path.read_bytes() for canary in (KEY, SECRET) for path in tmp_path.glob("momo.sqlite*"))
    assert journal.exists()


def test_the_venue_ends_as_it_is_told(tmp_path: Path) -> None:
    """SIGTERM ends the exchange in order, with code 0: the first process of a container hears nothing that it has no handler for."""
    with Venue(folder=tmp_path) as venue:
        venue.stop(within=PATIENCE_S)


def test_venue_stands_still(venue: Venue, tmp_path: Path) -> None:
    """While the venue answers nothing the daemon waits, and goes on with the same account once it answers again."""
    with Daemon(written(tmp_path, venue)) as daemon:
        daemon.settled(sent=1)
        venue.send(signal.SIGSTOP)
        time.sleep(AWAY_S)
        assert daemon.get("/healthz")[0] == 200
        since = len(daemon.lines)
        venue.send(signal.SIGCONT)
        daemon.settled(2, since=since)
        daemon.stop()
        assert disagreements(venue.state(), tmp_path / "momo.sqlite", SYMBOLS) == []
        assert [line for line in daemon.complaints() if line["level"] == "error"] == []


def test_c6_a_suspended_daemon_sends_nothing_unseen(venue: Venue, tmp_path: Path) -> None:
    """Held for seconds in which bars closed, it plans and sends nothing until it has read the account; then it trades as before."""
    with Daemon(written(tmp_path, venue)) as daemon:
        daemon.settled(sent=1)
        since = len(daemon.lines)
        daemon.send(signal.SIGSTOP)
        time.sleep(ASLEEP_S)
        daemon.send(signal.SIGCONT)
        daemon.wait("daemon.awoke", since=since)
        daemon.settled(2, since=since)
        daemon.stop()
        told = [line["event"] for line in daemon.lines[since:]]
        awoke = told.index("daemon.awoke")
        started = told.index("trading.started", awoke)
        assert "account.reconciled" in told[awoke:started]
        assert not {"order.submitted", "plan.made"} & set(told[awoke:started])
        assert disagreements(venue.state(), tmp_path / "momo.sqlite", SYMBOLS) == []


def test_streams_refused_for_a_while(venue: Venue, tmp_path: Path) -> None:
    """Waves settle by polling while websockets are refused, and by streams again afterwards."""
    with Daemon(written(tmp_path, venue)) as daemon:
        daemon.settled()
        venue.post("/venue/faults", faults=[{"do": "ws.refuse"}, {"do": "ws.close"}])
        daemon.settled(2, since=len(daemon.lines))
        venue.mend()
        daemon.settled(2, since=len(daemon.lines))
        daemon.stop()
        assert disagreements(venue.state(), tmp_path / "momo.sqlite", SYMBOLS) == []
        assert [line for line in daemon.complaints() if line["level"] == "error"] == []
