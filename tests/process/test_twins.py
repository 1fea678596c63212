"""Twins: two processes of one configuration on one account, each with a journal of its own, as on two machines."""

import time
from pathlib import Path

import httpx

from tests.process.support import PATIENCE_S, Daemon, Venue, written

TOKEN = "token-of-this-test"


def test_e11_two_instances_on_one_account_notice_each_other(venue: Venue, tmp_path: Path) -> None:
    """One of them halts within seconds and sends nothing from then on; once the other has ended, a person's word has it trade again."""
    folders = tmp_path / "here", tmp_path / "there"
    for folder in folders:
        folder.mkdir()
    configs = [written(folder, venue, api={"port": 0, "token": {"env": "TOKEN"}}) for folder in folders]
    with Daemon(configs[0], {"TOKEN": TOKEN}) as here, Daemon(configs[1], {"TOKEN": TOKEN}) as there:
        halted, trading = (here, there) if first_to_halt(here, there) is here else (there, here)
        halt = halted.wait("trading.halted", where=lambda line: line["code"] == "other_instance")
        since = len(halted.lines)
        assert halt["level"] == "error"
        assert "give it an account of its own" in halt["reason"]
        status = halted.get("/api/v1/status")[1]
        assert [hold["code"] for hold in status["holds"] if hold["level"] == "halted"] == ["other_instance"]
        for _ in range(3):
            halted.wait("targets.chosen", since=len(halted.lines))
        assert [line for line in halted.lines[since:] if line["event"] == "order.submitted"] == []
        trading.stop(within=PATIENCE_S)
        answer = httpx.post(
            f"{halted.url()}/api/v1/resume",
            json={"by": "ann"},
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=5,
            trust_env=False,
        )
        assert answer.status_code == 200
        halted.settled(sent=1, since=len(halted.lines), within=2 * PATIENCE_S)
        halted.stop(within=PATIENCE_S)
    assert halted.count("trading.halted") == 1


def first_to_halt(*daemons: Daemon) -> Daemon:
    """Whichever it is."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for daemon in daemons:
            if daemon.count("trading.halted"):
                return daemon
        time.sleep(0.05)
    raise AssertionError("; ".join(daemon.story() for daemon in daemons))
