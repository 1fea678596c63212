"""Alerts over webhooks: what arrives, how often it is tried, and what is dropped, in virtual time."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import httpx
import pytest
import respx
from structlog.testing import capture_logs

from daemon.io.alerts import ATTEMPTS_MAX, FIELDS_MAX, QUEUE_MAX, Channel, payload, verdict
from daemon.io.alerts_sieve import Alert
from tests.io.hooks import IDENTITY, URL, channel
from tests.io.test_alerts_sieve import line
from tests.sim.virtual import run


def bodies(route: respx.Route) -> list[dict[str, Any]]:
    return [json.loads(call.request.content) for call in route.calls]


def at_work(one: Channel, script: Callable[[], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """Run a channel in virtual time beside a script; the lines that were logged."""

    async def main() -> None:
        job = asyncio.create_task(one.run())
        await script()
        job.cancel()
        await asyncio.wait((job,))
        await one.close()

    with capture_logs() as said:
        run(main())
    return [dict(entry) for entry in said]


# --- what arrives ----------------------------------------------------------------------------------------------------


def test_a_body_says_all_and_nothing_else() -> None:
    """Instance, mode, event, level, time and fields, the same in one line for chat services, and an id; counts only where there are any."""
    body = payload(Alert(line("drift.found", "warning", currency="BTC", amount="-0.1", more={"a": [1]})), IDENTITY, 7, 0)
    assert body == {
        "id": "demo-2026-01-02T12:00:00.000000Z-7",
        "instance": "demo",
        "mode": "live",
        "event": "drift.found",
        "level": "warning",
        "time": "2026-01-02T12:00:00.000000Z",
        "fields": {"currency": "BTC", "amount": "-0.1", "more": {"a": [1]}},
        "text": "demo (live) warning: drift.found currency=BTC amount=-0.1",
    }
    counted = payload(Alert(line("order.unknown"), suppressed=3, standing_s=60.0), IDENTITY, 1, 2)
    assert (counted["suppressed"], counted["standing_s"], counted["dropped"]) == (3, 60.0, 2)
    assert str(counted["text"]).endswith("suppressed=3 dropped=2 standing_s=60.0")


def test_a_text_commands_no_chat() -> None:
    """Words of an exchange can neither call everybody, nor hide a link, nor begin a line."""
    body = payload(Alert(line("order.rejected", text="<!channel> &\n<https://evil.example|refund>\x1b[31m")), IDENTITY, 1, 0)
    text = str(body["text"])
    assert not set("<>\n\x1b") & set(text)
    assert "&lt;!channel&gt; &amp;" in text


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 1_000_000},
        {"targets": {f"SYMBOL{n}/USDT": 0.001 for n in range(2000)}, "decision_id": "d1"},
        {f"k{n}": "x" * 500 for n in range(500)},
    ],
)
def test_a_body_is_bounded(fields: dict[str, Any]) -> None:
    """However much a line holds, what is sent stays below what any service takes, and keeps what is short."""
    body = payload(Alert(line("wave.settled", **fields)), IDENTITY, 1, 0)
    assert len(json.dumps(body)) < FIELDS_MAX + 4096
    told = body["fields"]
    assert isinstance(told, dict)
    assert "targets" not in fields or told == {"decision_id": "d1", "left_out": True}


@respx.mock
def test_alerts_arrive_in_order_one_a_second() -> None:
    """Three lines become three requests, a second apart, and three lines of the log without the address."""
    route, sent_at = respx.post(URL), []

    def answer(_: httpx.Request) -> httpx.Response:
        sent_at.append(asyncio.get_running_loop().time())
        return httpx.Response(200)

    route.side_effect = answer
    one = channel()

    async def script() -> None:
        for n in range(3):
            one.hear(line("exchange.refused", job=str(n)))
        await asyncio.sleep(10)

    said = at_work(one, script)
    assert [body["fields"]["job"] for body in bodies(route)] == ["0", "1", "2"]
    assert all(b - a >= 0.999 for a, b in pairwise(sent_at))
    assert [(entry["event"], entry["of"], entry["attempts"]) for entry in said] == [("alert.sent", "exchange.refused", 1)] * 3
    assert "hooks" not in str(said)
    assert len({body["id"] for body in bodies(route)}) == 3


@respx.mock
def test_what_was_held_back_comes_by_itself() -> None:
    """The job wakes for what the sieve has to tell, without a further line."""
    route = respx.post(URL)
    one = channel(every=60.0)

    async def script() -> None:
        one.hear(line("order.surprise"))
        one.hear(line("order.surprise"))
        one.hear(line("order.unknown", "warning", order_id="r-1"))
        await asyncio.sleep(59)
        assert len(route.calls) == 1
        await asyncio.sleep(4)
        assert len(route.calls) == 3

    at_work(one, script)
    assert [body["event"] for body in bodies(route)] == ["order.surprise", "order.surprise", "order.unknown"]


# --- a bad channel ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble", [httpx.Response(503), httpx.Response(429), httpx.ConnectError("no"), httpx.ReadTimeout("late"), OSError("x")]
)
@respx.mock
def test_trouble_that_passes_is_waited_for(trouble: Any) -> None:
    """The same alert is tried again, ever more calmly, under the same id; one warning begins it and no text of the error is told."""
    route = respx.post(URL).mock(side_effect=[trouble, trouble, trouble, httpx.Response(204)])
    one = channel()

    async def script() -> None:
        one.hear(line("exchange.refused"))
        await asyncio.sleep(60)

    said = at_work(one, script)
    assert len({body["id"] for body in bodies(route)}) == 1
    assert len(route.calls) == 4
    assert [(entry["event"], entry["attempts"]) for entry in said] == [("alert.failed", 1), ("alert.sent", 4)]
    assert (said[0]["log_level"], said[0]["given_up"]) == ("warning", False)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410])
@respx.mock
def test_a_wrong_address_is_not_asked_again(status: int) -> None:
    """An answer that asking again does not mend costs one request, follows nowhere, and the next alert says what was dropped."""
    route = respx.post(URL).mock(
        side_effect=[httpx.Response(status, headers={"Location": "https://elsewhere.example"}), httpx.Response(200)]
    )
    one = channel()

    async def script() -> None:
        one.hear(line("exchange.refused"))
        await asyncio.sleep(60)
        assert len(route.calls) == 1
        one.hear(line("order.surprise"))
        await asyncio.sleep(60)

    failed, sent = at_work(one, script)
    assert (failed["reason"], failed["given_up"]) == (f"http_{status}", True)
    assert (sent["of"], sent["dropped"], bodies(route)[1]["dropped"]) == ("order.surprise", 1, 1)
    assert one.dropped == 0


@respx.mock
def test_patience_that_is_asked_for_is_given() -> None:
    """Retry-After is kept, up to five minutes."""
    route, asked_at = respx.post(URL), []

    def answer(_: httpx.Request) -> httpx.Response:
        asked_at.append(asyncio.get_running_loop().time())
        return httpx.Response(429, headers={"Retry-After": "120" if len(asked_at) == 1 else "86400"})

    route.side_effect = answer
    one = channel()

    async def script() -> None:
        one.hear(line("exchange.refused"))
        await asyncio.sleep(500)

    at_work(one, script)
    assert asked_at[1] - asked_at[0] >= 119.9
    assert 299.9 <= asked_at[2] - asked_at[1] <= 301


@respx.mock
def test_a_dead_channel_gives_up_and_goes_on() -> None:
    """After twenty attempts, in ten minutes at most, an alert makes room for the next; the log has two lines of it and not forty."""
    respx.post(URL).mock(side_effect=httpx.ConnectError("no"))
    one = channel()

    async def script() -> None:
        one.hear(line("exchange.refused"))
        await asyncio.sleep(600)

    said = at_work(one, script)
    assert [(entry["attempts"], entry["given_up"]) for entry in said] == [(1, False), (ATTEMPTS_MAX, True)]
    assert one.dropped == 1


@respx.mock
def test_a_channel_that_works_again_is_forgiven() -> None:
    """What a channel owed of waiting ends with its first success: the next trouble begins with a short pause."""
    route = respx.post(URL).mock(side_effect=[*[httpx.Response(503)] * 8, httpx.Response(200), httpx.Response(503), httpx.Response(200)])
    one = channel()

    async def script() -> None:
        one.hear(line("exchange.refused"))
        await asyncio.sleep(300)
        assert len(route.calls) == 9
        one.hear(line("exchange.refused"))
        await asyncio.sleep(2.5)
        assert len(route.calls) == 11

    at_work(one, script)


@respx.mock
def test_a_flood_drops_the_oldest_of_the_least_severe() -> None:
    """While a channel is away a hundred alerts wait; a halt outlives warnings that come later, and the count of the rest is told."""
    route = respx.post(URL).mock(side_effect=httpx.ConnectError("no"))
    one = channel(level="warning")

    async def script() -> None:
        one.hear(line("trading.halted", reason="drawdown"))
        await asyncio.sleep(1.5)
        for n in range(300):
            one.hear(line("order.rejected", "warning", symbol=str(n)))
        await asyncio.sleep(60)
        route.side_effect = None
        route.return_value = httpx.Response(200)
        await asyncio.sleep(200)

    at_work(one, script)
    arrived = [body for body, call in zip(bodies(route), route.calls, strict=True) if call.has_response]
    assert len(arrived) == QUEUE_MAX
    assert (arrived[0]["event"], arrived[0]["dropped"]) == ("trading.halted", 201)
    assert [body["fields"]["symbol"] for body in arrived[1:]] == [str(n) for n in range(201, 300)]


@respx.mock
def test_an_alert_that_cannot_be_made_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours on the way out is a failed alert, not the end of the daemon."""
    monkeypatch.setattr("daemon.io.alerts.harmless", lambda _: 1 / 0)
    one = channel()

    async def script() -> None:
        one.hear(line("exchange.refused"))
        await asyncio.sleep(1)

    (failed,) = at_work(one, script)
    assert (failed["event"], failed["reason"]) == ("alert.failed", "ZeroDivisionError")


def test_what_an_answer_means() -> None:
    """2xx arrived; time-outs, too many and the server's own troubles pass; what else is refused stays so, and odd waits are none."""
    assert [verdict(status, "") for status in (200, 202, 204)] == [None, None, None]
    for status, final in ((301, True), (400, True), (404, True), (408, False), (429, False), (500, False), (503, False)):
        failure = verdict(status, "x")
        assert failure is not None
        assert (failure.final, failure.retry_after_s, failure.reason) == (final, 0.0, f"http_{status}")
    for told in ("-1", "inf", "1e9", "²", "9" * 400, "Wed, 21 Oct 2026 07:28:00 GMT"):
        assert verdict(429, told) == verdict(429, "")
