"""The heartbeat: somebody is asked at its pace, trouble is said once, and no address is told."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx
from structlog.testing import capture_logs

from daemon.io.alerts_heartbeat import AGAIN_S, Beat, Heartbeat
from tests.sim.virtual import SimClock, run

URL = "https://beats.example/cAnArY-of-the-address"


def beaten(seconds: float, every_s: float, *answers: Any) -> tuple[list[httpx.Request], list[dict[str, Any]]]:
    """What was asked in so many seconds, with these answers, the last of them again and again; and what was logged."""

    async def main() -> None:
        clock = SimClock(datetime(2026, 1, 2, 12, tzinfo=UTC))
        ((_, job),) = Heartbeat(Beat(URL, local=False, every_s=every_s), clock).jobs()
        task = asyncio.create_task(job())
        await clock.sleep(seconds)
        task.cancel()
        await asyncio.wait((task,))

    with respx.mock, capture_logs() as said:
        route = respx.get(URL).mock(side_effect=[*answers, *[answers[-1]] * 100])
        run(main())
        return [call.request for call in route.calls], [dict(line) for line in said]


def test_it_is_asked_at_once_and_at_its_pace() -> None:
    """The first comes at the start, since that is when a machine is back; none of them carries anything."""
    asked, said = beaten(601, 300, httpx.Response(200))
    assert len(asked) == 3
    assert {(request.method, request.content) for request in asked} == {("GET", b"")}
    assert said == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(httpx.Response(503), "http_503"), (httpx.ConnectError(f"cannot reach {URL}"), "ConnectError"), (httpx.Response(302), "http_302")],
)
def test_trouble_is_said_once_and_its_end_too(answer: object, reason: str) -> None:
    """One line when it begins and one when it is over, without the address; in between it is asked twice a minute."""
    asked, said = beaten(3 * AGAIN_S + 1, 300, answer, answer, answer, httpx.Response(200))
    assert len(asked) == 4
    assert [(line["event"], line.get("reason")) for line in said] == [("heartbeat.failed", reason), ("heartbeat.back", None)]
    assert "cAnArY" not in str(said)


def test_without_an_address_there_is_nothing_to_do() -> None:
    """No job of it runs."""
    assert Heartbeat(None, SimClock(datetime(2026, 1, 2, 12, tzinfo=UTC))).jobs() == []
