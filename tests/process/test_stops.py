"""Stops: it ends in order within seconds, whoever asks, and says when it does not do what was asked."""

import os
import pty
import random
import re
import select
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from daemon.io.journal import read
from tests.process.books import disagreements
from tests.process.support import STOP_S, SYMBOLS, Daemon, Venue, environment, written

ROOT = Path(__file__).parent.parent.parent
DEMO_S = 60.0

STOPS = int(os.environ.get("REBALANCED_STOPS", "2"))
SEED = int(os.environ.get("REBALANCED_SEED", "1"))
STARTS_S, WITHIN_S, AIM_S = 120.0, 30.0, 0.3
STYLES: Final[Sequence[dict[str, Any]]] = (
    {"style": "maker_then_taker", "maker_then_taker": {"passive": "5s", "total": "10s"}, "on_stop": "keep"},
    {"style": "maker_then_taker", "maker_then_taker": {"passive": "5s", "total": "10s"}},
    {"style": "twap", "twap": {"horizon": "10s", "interval": "1s", "participation": None}},
    {"style": "limit"},
    {"style": "market"},
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_stop_inside_a_wave(number: signal.Signals, venue: Venue, tmp_path: Path) -> None:
    """Asked to stop inside a wave, it ends with exit code 0 in time, every order at a known end and the journal closed."""
    journal = tmp_path / "momo.sqlite"
    with Daemon(written(tmp_path, venue)) as daemon:
        daemon.planned()
        daemon.stop(number)
        assert [line["event"] for line in daemon.lines][-1] == "daemon.stopped"
        assert daemon.stderr == ""
    state = venue.state()
    assert disagreements(state, journal, SYMBOLS) == []
    assert read(journal).open_orders == ()
    assert {order["status"] for order in state["orders"]} <= {"FILLED"}
    assert [path.stat().st_size for path in tmp_path.glob("*-wal")] in ([], [0]), "the log of the journal was emptied"


@pytest.mark.timeout(60 + 60 * STOPS)
def test_stops_anywhere_in_a_wave(tmp_path: Path) -> None:
    """Asked to stop at any instant of a wave, whatever the style, it ends with exit code 0, and journal and exchange are one."""
    chance, journal = random.Random(SEED), tmp_path / "momo.sqlite"
    took: list[float] = []
    with Venue("--interval", "1s", folder=tmp_path, within=STARTS_S) as venue:
        for number in range(STOPS):
            with Daemon(written(tmp_path, venue, execution=STYLES[number % len(STYLES)])) as daemon:
                daemon.wait("plan.made", where=lambda line: bool(line["orders"] or line["worked"]), within=STARTS_S)
                time.sleep(chance.uniform(0, AIM_S))
                began = time.monotonic()
                daemon.stop(within=STARTS_S)
                took.append(time.monotonic() - began)
            assert venue.state()["violations"] == [], f"seed {SEED}, stop {number}"
        with Daemon(written(tmp_path, venue)) as daemon:
            daemon.settled(within=STARTS_S)
            daemon.stop(within=STARTS_S)
        assert disagreements(venue.state(), journal, SYMBOLS) == [], f"seed {SEED}"
        assert read(journal).open_orders == (), f"seed {SEED}"
    assert max(took) < WITHIN_S
    print(f"\n{STOPS} stops: median {median(took):.2f} s, longest {max(took):.2f} s; seed {SEED}")  # noqa: T201


@pytest.mark.parametrize(("on_stop", "said", "status"), [("cancel", "daemon.none_open", "CANCELED"), ("keep", "daemon.kept_open", "NEW")])
def test_open_orders_at_a_stop_are_cancelled_or_kept(on_stop: str, said: str, status: str, tmp_path: Path) -> None:
    """Orders that rest at SIGTERM are cancelled, and the exchange is read until it shows none; or they stay, and their ids are told."""
    faults = tmp_path / "faults.yaml"
    faults.write_text("faults: [{do: fill}]")
    with Venue("--interval", "1s", "--faults", str(faults), folder=tmp_path) as venue:
        with Daemon(written(tmp_path, venue, execution={"on_stop": on_stop})) as daemon:
            plan = daemon.planned()
            ids = {order["order_id"] for order in plan["orders"]}
            accepted: set[str] = set()
            while accepted < ids:
                accepted.add(daemon.wait("order.accepted", where=lambda line: line["order_id"] not in accepted)["order_id"])
            daemon.stop()
            (told,) = [line for line in daemon.lines if str(line["event"]).endswith("_open")]
        orders = {order["clientOrderId"]: order["status"] for order in venue.state()["orders"]}
    assert told["event"] == said
    assert (set(told.get("orders", {})) == ids) is (on_stop == "keep")
    assert {orders[order_id] for order_id in ids} == {status}


def test_stop_while_the_venue_is_away(tmp_path: Path) -> None:
    """A daemon that still waits for its venue stops as quickly as any other."""
    with Daemon(written(tmp_path, "http://127.0.0.1:9")) as daemon:
        daemon.wait("exchange.unreachable")
        daemon.stop()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_ctrl_c_ends_make_run(tmp_path: Path) -> None:
    """Ctrl-C on a terminal ends `make run` in time and with exit code 0, after it has shown a wave."""
    pid, terminal = pty.fork()
    if pid == 0:
        # -o setup: what runs the tests is set up.
        os.chdir(ROOT)
        environ = environment({"STATE_DIRECTORY": str(tmp_path), "REBALANCED__API__PORT": "0", "TERM": "xterm"})
        os.execvpe("make", ["make", "-o", "setup", "run"], environ)  # noqa: S606
    try:
        shown = _shown(terminal, b"wave.settled", DEMO_S)
        assert b"wave.settled" in shown, shown.decode()
        began = time.monotonic()
        os.write(terminal, b"\x03")
        shown += _shown(terminal, None, STOP_S)
        _, status = os.waitpid(pid, 0)
        assert (os.waitstatus_to_exitcode(status), time.monotonic() - began < STOP_S) == (0, True), shown.decode()[-2000:]
        assert not re.search(rb"Error \d|Interrupt|Traceback", shown), shown.decode()[-2000:]
    finally:
        os.close(terminal)  # the hang-up ends whatever is left


def _shown(terminal: int, until: bytes | None, within: float) -> bytes:
    """What the terminal shows until something appears, it is closed, or the time is over."""
    shown, deadline = b"", time.monotonic() + within
    while (until is None or until not in shown) and (left := deadline - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
    return shown
