"""The API as a client meets it: shapes, refusals, and who may read."""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from structlog.testing import capture_logs

from daemon.io.api import BODY_MAX, Api, CannotListen, Impossible, NotThere, PortInUse, is_loopback
from daemon.io.api_feed import Feed
from daemon.io.clock import SystemClock

ANYWHERE = "0.0.0.0"  # noqa: S104 - what the API must not be without a token


class Views:
    """A daemon with a little to show."""

    def __init__(self) -> None:
        self.failing: list[str] = []
        self.asked: list[int] = []

    def status(self) -> Mapping[str, object]:
        return {
            "equity": Decimal("1E+5"),
            "drift": float("nan"),
            "last_slice": datetime(2026, 1, 2, tzinfo=UTC),
            "name": "<img src=x onerror=alert(1)>",
        }

    def ready(self) -> tuple[bool, Sequence[str]]:
        return not self.failing, self.failing

    def positions(self) -> Sequence[Mapping[str, object]]:
        return [{"symbol": "BTC/USDT", "amount": Decimal("0.00000001"), "weight": 0.25}]

    async def equity(self, since: datetime, limit: int) -> Sequence[Mapping[str, object]]:
        return [{"equity": Decimal("1.50"), "at": since, "limit": limit}]

    async def decisions(self, limit: int) -> Sequence[Mapping[str, object]]:
        return [{"id": "d1", "limit": limit}]

    def analysis(self) -> Mapping[str, object]:
        return {"bars": 12, "account": {"volatility": float("nan")}}

    async def why(self, symbol: str, decision_id: str | None, account: str = "") -> Mapping[str, object]:
        if symbol == "DOGE":
            raise NotThere("DOGE is not in the universe")
        return {"symbol": symbol, "decision_id": decision_id} | ({"account": account} if account else {})

    def targets(self) -> Sequence[Mapping[str, object]]:
        raise RuntimeError("a bug")

    async def orders(self, limit: int) -> Sequence[Mapping[str, object]]:
        self.asked.append(limit)
        return []

    async def fills(self, limit: int) -> Sequence[Mapping[str, object]]:
        self.asked.append(limit)
        return []


class Commands:
    """A daemon that does what it is told, once."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, str]] = []

    async def command(self, verb: str, argument: str, by: str, account: str = "") -> Mapping[str, object]:
        if verb not in ("pause", "flatten"):
            raise NotThere(f"there is no command {verb}")
        if verb == "flatten":
            raise Impossible("the account is halted")
        self.done.append((verb, argument, by))
        return {"done": "paused"}


@asynccontextmanager
async def serving(
    views: Views, host: str = "127.0.0.1", token: str | None = None, commands: Commands | None = None, feed: Feed | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running Api."""
    api = Api(views, commands or Commands(), feed or Feed(SystemClock()), host, 0, token)
    await api.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False) as client:
            yield client
    finally:
        await api.stop()


async def test_values_have_the_documented_shapes() -> None:
    """Money is a decimal string without exponent, other numbers are numbers, NaN is null, times are RFC 3339 UTC."""
    async with serving(Views()) as client:
        status = await client.get("/api/v1/status")
        positions = (await client.get("/api/v1/positions")).json()
    told: dict[str, object] = {
        "equity": "100000",
        "drift": None,
        "last_slice": "2026-01-02T00:00:00Z",
        "name": "",
        "ready": True,
        "failing": [],
    }
    assert status.json() | {"name": ""} == told
    assert positions == [{"symbol": "BTC/USDT", "amount": "0.00000001", "weight": 0.25}]


async def test_the_analysis_has_null_for_what_cannot_be_said() -> None:
    """Its numbers are numbers; NaN is null, at any depth."""
    async with serving(Views()) as client:
        assert (await client.get("/api/v1/analysis")).json() == {"bars": 12, "account": {"volatility": None}}


async def test_the_history_of_the_equity_is_asked_for_from_a_moment_on() -> None:
    """`?since=` takes a moment with its time zone, nothing means the beginning, and anything else is refused with a sentence."""
    async with serving(Views()) as client:
        asked = await client.get("/api/v1/equity", params={"since": "2026-01-02T03:00:00+01:00", "limit": 7})
        assert asked.json() == [{"equity": "1.5", "at": "2026-01-02T02:00:00Z", "limit": 7}]
        assert (await client.get("/api/v1/equity")).json()[0]["at"] == "1970-01-01T00:00:00Z"
        for wrong in ("", "yesterday", "2026-01-02", "2026-01-02T03:00:00", "9" * 5000):
            refused = await client.get("/api/v1/equity", params={"since": wrong})
            assert (refused.status_code, "time zone" in refused.json()["error"]) == (400, True)
        assert (await client.get("/api/v1/decisions")).json() == [{"id": "d1", "limit": 100}]


@pytest.mark.parametrize("written", ["BTC/USDT", "BTC%2FUSDT"])
async def test_why_takes_a_symbol_as_it_is_or_escaped(written: str) -> None:
    """The slash of a symbol may stand in the path; the decision is a query, and no decision is the last one."""
    async with serving(Views()) as client:
        assert (await client.get(f"/api/v1/why/{written}")).json() == {"symbol": "BTC/USDT", "decision_id": None}
        asked = await client.get(f"/api/v1/why/{written}", params={"decision": "d1"})
    assert asked.json() == {"symbol": "BTC/USDT", "decision_id": "d1"}


async def test_why_of_nothing_is_404_in_a_sentence() -> None:
    """A symbol or a decision that is not there is not found, and says what was asked for."""
    async with serving(Views()) as client:
        answer = await client.get("/api/v1/why/DOGE")
    assert (answer.status_code, answer.json()) == (404, {"error": "DOGE is not in the universe"})


async def test_answers_are_data_and_tell_nothing_of_the_server() -> None:
    """JSON that no browser takes for a page, not cached, no versions, no sharing with other origins."""
    async with serving(Views()) as client:
        answers = [await client.get(path) for path in ("/healthz", "/api/v1/status", "/nothing")]
    for answer in answers:
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
        assert not any(name.startswith("access-control") for name in answer.headers)


async def test_metrics_are_text_and_need_the_token_where_others_can_read() -> None:
    """Prometheus reads them freely on loopback; on a bind that other machines reach they tell nobody of money who has no token."""
    api = Api(Views(), Commands(), Feed(SystemClock()), ANYWHERE, 0, "open-sesame", lambda: b"rebalanced_equity_quote 1.5\n")
    await api.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False) as client:
        refused, read = [await client.get("/metrics", headers=headers) for headers in ({}, {"Authorization": "Bearer open-sesame"})]
    await api.stop()
    assert (refused.status_code, read.status_code, read.text) == (401, 200, "rebalanced_equity_quote 1.5\n")
    assert read.headers["content-type"].startswith("text/plain; version=0.0.4")
    async with serving(Views()) as client:
        assert (await client.get("/metrics")).status_code == 200


async def test_health_and_readiness() -> None:
    """/healthz is 200 while the loop turns; /readyz is 503 with the failing checks until there are none."""
    views = Views()
    async with serving(views) as client:
        assert (await client.get("/healthz")).json() == {"ok": True}
        assert (await client.get("/readyz")).status_code == 200
        views.failing = ["the account has not been reconciled yet"]
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "failing": ["the account has not been reconciled yet"]}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many", "", "1.5", "٣", "9" * 5000])
async def test_a_wrong_limit_is_one_sentence(limit: str) -> None:
    """What is no whole number from 1 to 1000 is a 400 that says so, and no view is asked."""
    views = Views()
    async with serving(views) as client:
        answer = await client.get("/api/v1/orders", params={"limit": limit})
    assert (answer.status_code, answer.json()) == (400, {"error": "limit must be a whole number from 1 to 1000"})
    assert views.asked == []


async def test_limits_reach_the_views() -> None:
    """A limit is passed on; without one it is 100."""
    views = Views()
    async with serving(views) as client:
        await client.get("/api/v1/orders?limit=7")
        await client.get("/api/v1/fills")
    assert views.asked == [7, 100]


async def test_there_is_reading_and_commanding_and_nothing_else() -> None:
    """Any other method is a 405 in JSON; an unknown path is a 404 in JSON."""
    async with serving(Views(), token="open-sesame") as client:
        put = await client.put("/api/v1/status", json={}, headers=TOKEN)
        unknown = await client.get("/api/v1/secrets")
    assert (put.status_code, put.json()["error"][:22]) == (405, "/api/v1/status is not ")
    assert "GET" in put.headers["allow"]
    assert (unknown.status_code, unknown.json()) == (404, {"error": "there is nothing at /api/v1/secrets"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8787"}, 200),
        ({"Host": "[::1]:8787"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:8787"}, 421),
        ({"Host": "10.0.0.1"}, 421),
        ({"Host": "[::1"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost:8787", "Origin": "http://localhost:8787"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:8787", "Origin": "http://localhost:3000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
async def test_pages_of_other_origins_cannot_read(headers: dict[str, str], status: int) -> None:
    """Neither by DNS rebinding (a foreign Host) nor by a request of their own (Origin, Sec-Fetch-Site)."""
    async with serving(Views()) as client:
        answer = await client.get("/api/v1/status", headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert list(answer.json()) == ["error"]


async def test_a_bind_that_others_reach_needs_the_token() -> None:
    """There /api/v1 is 401 without the right bearer token; health and readiness stay open; any number of the machine is a good Host."""
    async with serving(Views(), ANYWHERE, "tökén-of-the-house") as client:
        right = "Bearer tökén-of-the-house".encode()
        codes = [
            (await client.get(path, headers=[(b"Authorization", header)] if header else [])).status_code
            for path, header in (
                ("/healthz", b""),
                ("/readyz", b""),
                ("/api/v1/status", b""),
                ("/api/v1/status", b"Bearer wrong"),
                ("/api/v1/status", b"Bearer \xff\xfe"),
                ("/api/v1/status", right[:-1]),
                ("/api/v1/status", right),
            )
        ]
        numbered = await client.get("/healthz", headers={"Host": "10.1.2.3:8787"})
        named = await client.get("/healthz", headers={"Host": "evil.example"})
    assert codes == [200, 200, 401, 401, 401, 401, 200]
    assert (numbered.status_code, named.status_code) == (200, 421)


async def test_reading_on_loopback_needs_no_token() -> None:
    """A token that is configured for later commands does not stand between a person and the status."""
    async with serving(Views(), token="token-of-the-house") as client:
        assert (await client.get("/api/v1/status")).status_code == 200


@pytest.mark.parametrize("host", [ANYWHERE, "::", "10.0.0.1", "box.example"])
def test_an_open_bind_without_a_token_is_refused(host: str) -> None:
    """What other machines could reach is not even constructed without a token."""
    with pytest.raises(ValueError, match=r"set api\.token, or api\.host to 127\.0\.0\.1"):
        Api(Views(), Commands(), Feed(SystemClock()), host, 0)


def test_loopback_is_recognised() -> None:
    """By name and by any number of its range."""
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]")] == [True] * 5
    assert [is_loopback(host) for host in (ANYWHERE, "::", "192.168.0.1", "localhost.evil.example", "")] == [False] * 5


async def test_a_taken_port_is_one_sentence() -> None:
    """A second listener is told where and what to change; nothing of it stays open."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        api = Api(Views(), Commands(), Feed(SystemClock()), "127.0.0.1", port)
        with pytest.raises(PortInUse, match=rf"api: cannot listen on 127\.0\.0\.1:{port}, another program does; set api\.port"):
            await api.start()
        await api.stop()


async def test_an_address_of_another_machine_is_one_sentence() -> None:
    """An address that is not ours is no traceback either."""
    with pytest.raises(CannotListen, match=r"api: cannot listen on 192\.0\.2\.1:8787 \("):
        await Api(Views(), Commands(), Feed(SystemClock()), "192.0.2.1", 8787, "token-of-the-house").start()


async def test_a_view_that_fails_is_logged_and_stays_local() -> None:
    """A bug in a view is a 500 without its details and an error line with them; the next request is served."""
    with capture_logs() as lines:
        async with serving(Views()) as client:
            failed = await client.get("/api/v1/targets")
            assert (await client.get("/healthz")).status_code == 200
    assert (failed.status_code, failed.json()) == (500, {"error": "the daemon failed to answer this; its log says why"})
    assert [(line["log_level"], line["event"], line["path"]) for line in lines] == [("error", "api.failed", "/api/v1/targets")]


# --- commands --------------------------------------------------------------------------------------------------------

TOKEN = {"Authorization": "Bearer open-sesame"}


async def test_a_command_reaches_the_daemon_with_who_asked() -> None:
    """Verb, argument, and who asked from where arrive; what was done comes back."""
    commands = Commands()
    async with serving(Views(), token="open-sesame", commands=commands) as client:
        answer = await client.post("/api/v1/pause", json={"argument": "BTC", "by": "ann"}, headers=TOKEN)
        assert (answer.status_code, answer.json()) == (200, {"done": "paused"})
        await client.post("/api/v1/pause", headers=TOKEN)
    assert commands.done == [("pause", "BTC", "ann@127.0.0.1"), ("pause", "", "127.0.0.1")]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer open-sesam"}, {"Authorization": "Basic open-sesame"}])
async def test_nobody_commands_without_the_token(headers: dict[str, str]) -> None:
    """On loopback too: reading is free there, commanding is not, and the attempt is in the log."""
    commands = Commands()
    async with serving(Views(), token="open-sesame", commands=commands) as client:
        assert (await client.get("/api/v1/status")).status_code == 200
        with capture_logs() as lines:
            assert (await client.post("/api/v1/pause", headers=headers)).status_code == 401
    assert [(line["event"], line["verb"]) for line in lines] == [("command.refused", "pause")]
    assert commands.done == []


async def test_without_a_token_there_are_no_commands() -> None:
    """A daemon whose configuration names no token cannot be commanded by anybody."""
    async with serving(Views()) as client:
        answer = await client.post("/api/v1/pause", headers=TOKEN)
    assert answer.status_code == 403
    assert "api.token" in answer.json()["error"]


@pytest.mark.parametrize(
    ("verb", "content", "kind", "status"),
    [
        ("dance", b"{}", "application/json", 404),
        ("flatten", b"{}", "application/json", 409),
        ("pause", b'{"argument": "BTC"}', "text/plain", 415),
        ("pause", b"{", "application/json", 400),
        ("pause", b"[]", "application/json", 400),
        ("pause", b'{"symbol": "BTC"}', "application/json", 400),
        ("pause", b'{"argument": 1}', "application/json", 400),
        ("pause", b'{"argument": "a\\nb"}', "application/json", 400),
        ("pause", b'{"by": "' + b"x" * 101 + b'"}', "application/json", 400),
        ("pause", b'{"by": "' + b"x" * BODY_MAX + b'"}', "application/json", 413),
        ("pause", b'{"argument": ' + b"[" * 4000, "application/json", 400),
        ("pause", b'{"argument": ' + b"9" * 4000 + b"}", "application/json", 400),
        ("pause", b'{"argument": NaN}', "application/json", 400),
        ("pause", b'{"argument": "\xff"}', "application/json", 400),
        ("pause", b"{}", "application/json; charset=klingon", 400),
        ("why/BTC", b"{}", "application/json", 405),
    ],
)
async def test_what_is_no_command_is_refused(verb: str, content: bytes, kind: str, status: int) -> None:
    """A wrong verb, body, type or size is answered with its status and a sentence, and nothing is done."""
    commands = Commands()
    async with serving(Views(), token="open-sesame", commands=commands) as client:
        answer = await client.post(f"/api/v1/{verb}", content=content, headers={**TOKEN, "Content-Type": kind})
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
    assert commands.done == []


async def test_a_foreign_page_commands_nothing() -> None:
    """A browser that shows somebody else's page says where it comes from, and is refused even with the token."""
    async with serving(Views(), token="open-sesame") as client:
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
            assert (await client.post("/api/v1/pause", headers={**TOKEN, **headers})).status_code in (403, 421)
