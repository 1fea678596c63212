"""Halts: what has stopped trading outlives the process, and so does what it is judged by; without a journal nothing is sent."""

import json
import resource
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process.support import PATIENCE_S, Daemon, Venue, written

TOKEN = "token-of-this-test"

COMPILER = shutil.which("cc")
# Stands before the C library: while the file that BROKEN names is there, nothing that is written reaches the disk, and the kernel says so.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int stand(int fd, const char *name) {
    const char *broken = getenv("BROKEN");
    if (broken && access(broken, F_OK) == 0) { errno = EIO; return -1; }
    return ((int (*)(int)) dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return stand(fd, "fsync"); }
int fdatasync(int fd) { return stand(fd, "fdatasync"); }
"""


def commanded(daemon: Daemon, verb: str, **values: object) -> Any:
    """Command it over its API."""
    url = f"{daemon.url()}/api/v1/{verb}"
    return httpx.post(url, json=values, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5, trust_env=False).raise_for_status().json()


def sent(venue: Venue) -> int:
    """How many orders the venue has had."""
    return len(venue.state()["orders"])


def test_a_halt_survives_a_kill_and_ends_by_a_person_only(venue: Venue, tmp_path: Path) -> None:
    """Fees alone are a drawdown: killed as soon as it says so, it is halted from the first moment on until resumed; a pause too."""
    risk = {"drawdown_halt": 0.0004}
    config = written(tmp_path, venue, risk=risk, api={"port": 0, "token": {"env": "TOKEN"}})
    with Daemon(config, {"TOKEN": TOKEN}) as daemon:
        line = daemon.wait("trading.halted")
        assert line["code"] == "drawdown"
        daemon.kill()
    before = sent(venue)
    assert before > 0
    # The hold outlives a wider limit too; under the first one, the next move of a price would halt what has just been resumed.
    wider = {"drawdown_halt": 0.5}
    config = written(tmp_path, venue, risk=wider, api={"port": 0, "token": {"env": "TOKEN"}})
    with Daemon(config, {"TOKEN": TOKEN}) as daemon:
        status = daemon.get("/api/v1/status")[1]
        assert status["state"] == "halted"
        assert [(hold["level"], hold["code"], hold["by"]) for hold in status["holds"]] == [("halted", "drawdown", "rebalanced")]
        daemon.wait("trading.started")
        for _ in range(3):
            daemon.wait("targets.chosen", since=len(daemon.lines))
        ready, answer = daemon.get("/readyz")
        assert ready == 503
        assert any("below its highest value" in sentence for sentence in answer["failing"])
        assert sent(venue) == before
        commanded(daemon, "resume", by="ann")
        daemon.settled(sent=1, since=len(daemon.lines))
        assert sent(venue) > before
        commanded(daemon, "pause", by="ann")
        daemon.kill()
    with Daemon(config, {"TOKEN": TOKEN}) as daemon:
        status = daemon.get("/api/v1/status")[1]
        # The fees of the trades after the resumption may have been a drawdown again.
        assert ("paused", "pause") in [(hold["level"], hold["code"]) for hold in status["holds"]]
        daemon.kill()


def test_the_high_water_mark_survives_a_kill(venue: Venue, tmp_path: Path) -> None:
    """A deposit of ten times the account before the kill, and the mark after it is the mark before: in units, not in money."""
    config = written(tmp_path, venue, risk={"drawdown_halt": 0.5})
    with Daemon(config) as daemon:
        daemon.settled(sent=1)
        venue.post("/venue/deposit", asset="USDT", amount="1000000")
        daemon.wait("flow.booked", where=lambda line: line["kind"] != "opening")
        daemon.kill()
    high = kept(tmp_path / "momo.sqlite")["account"]["high"]
    with Daemon(config) as daemon:
        daemon.settled(sent=1)
        daemon.stop(within=PATIENCE_S)
        assert daemon.count("trading.halted") == 0
    after = kept(tmp_path / "momo.sqlite")["account"]
    assert 0.99 < high <= after["high"] < 1.2, "eleven times the money is no profit"
    assert float(after["contributed"]) > 1_000_000


def kept(journal: Path) -> Any:
    """The curve as the journal has it."""
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        return json.loads(connection.execute("SELECT value FROM switches WHERE key = 'curves'").fetchone()[0])


def test_a_journal_that_cannot_be_written_ends_all_sending(venue: Venue, tmp_path: Path) -> None:
    """No more room for the journal: nothing is sent from there on, and the process ends with the code that has it restarted."""
    config = written(tmp_path, venue, every=2)
    with Daemon(config) as daemon:
        daemon.settled(sent=1)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (1, 1))
        assert daemon.end() == 74
        assert "momo.sqlite" in str(daemon.wait("daemon.failed")["problems"])
        intents = {line["order_id"] for line in daemon.lines if line["event"] == "order.submitted"}
    orders = {order["clientOrderId"] for order in venue.state()["orders"]}
    assert orders <= intents
    with Daemon(config) as daemon:
        daemon.settled(sent=1)
        daemon.stop(within=PATIENCE_S)


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
def test_e5_a_failed_fsync_ends_all_sending(venue: Venue, tmp_path: Path) -> None:
    """The disk does not take what was written: no order goes out after that, the process ends with 74, and the next start trades on."""
    source, shim, broken = tmp_path / "shim.c", tmp_path / "shim.so", tmp_path / "broken"
    source.write_text(SHIM)
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
    config = written(tmp_path, venue, every=2)
    with Daemon(config, {"LD_PRELOAD": str(shim), "BROKEN": str(broken)}) as daemon:
        daemon.settled(sent=1)
        broken.touch()
        assert daemon.end() == 74
        assert "momo.sqlite" in str(daemon.wait("daemon.failed")["problems"])
        intents = {line["order_id"] for line in daemon.lines if line["event"] == "order.submitted"}
        at_end = sent(venue)
    assert {order["clientOrderId"] for order in venue.state()["orders"]} <= intents
    with Daemon(config) as daemon:
        daemon.wait("trading.started")
        assert sent(venue) >= at_end
        daemon.settled(sent=1)
        daemon.stop(within=PATIENCE_S)
