"""What a person sees of a running daemon, and what they are told when there is none."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import respx
from rich.console import Console
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.screens import show
from daemon.screens.cells import duration

URL = "http://127.0.0.1:8787"
NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
STATUS = {
    "name": "demo",
    "mode": "sandbox",
    "state": "running",
    "reason": "",
    "equity": "100012.345",
    "cash": "20001.5",
    "positions": 1,
    "open_orders": 2,
    "last_slice": "2026-01-02T11:59:58Z",
    "last_decision": "2026-01-02T11:55:00Z",
    "last_reconcile": None,
    "drift": 0,
    "uptime_s": 93784.2,
    "version": "0.1.0",
    "last_wave": {
        "as_of": "2026-01-02T11:55:00Z",
        "sent": 3,
        "filled": 2,
        "refused": {"ETH/USDT": "insufficient_funds"},
        "left": {"ETH/USDT": "in_band", "SOL/USDT": "below_minimum"},
        "cost_bps": 12.34,
        "took_ms": 804,
    },
}
POSITIONS = [
    {"symbol": "BTC/USDT", "amount": "0.5", "price": "50000.1", "value": "25000.05", "weight": 0.25, "target": 0.26},
    {"symbol": "USDT", "amount": "20001.5", "price": "1", "value": "20001.5", "weight": 0.2, "target": None},
]
TARGETS = [
    {"symbol": "BTC/USDT", "weight": 0.26},
    {"symbol": "ETH/USDT", "weight": 0.3, "strategies": {"momo": 0.3}, "as_of": "2026-01-02T11:55:00Z"},
]


def serve(answers: Mapping[str, object]) -> None:
    """A daemon that answers so."""
    for path, answer in answers.items():
        respx.get(f"{URL}/api/v1/{path}").respond(json=answer)


def screen(what: show.What, *, as_json: bool = False, limit: int | None = None, width: int = 120) -> str:
    """What appears on a terminal."""
    out = io.StringIO()
    show.show(what, URL, as_json=as_json, limit=limit, console=Console(file=out, width=width))
    return out.getvalue()


@respx.mock
def test_status_says_why_a_symbol_is_not_at_its_target() -> None:
    """One screen joins state, last wave, holdings and targets; a refusal outranks what was merely left."""
    serve({"status": STATUS, "positions": POSITIONS, "targets": TARGETS})
    text = screen("status")
    assert "demo  sandbox  running" in text
    assert "100,012.35" in text or "100,012.34" in text
    assert "last wave 2026-01-02 11:55:00: sent 3, filled 2, refused 1, cost 12.3 bps, took 0.80 s" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if "USDT" in line}
    assert rows["USDT"] == ["USDT", "20001.5", "1", "20,001.50", "20.00%"]
    assert rows["BTC/USDT"] == ["BTC/USDT", "0.5", "50000.1", "25,000.05", "25.00%", "26.00%", "-1.00%"]
    assert rows["ETH/USDT"] == ["ETH/USDT", "30.00%", "-30.00%", "insufficient", "funds"]
    assert rows["SOL/USDT"] == ["SOL/USDT", "below", "minimum"]


def test_ages_are_counted_from_now() -> None:
    """Times appear as their age; what has not happened says never."""
    out = io.StringIO()
    Console(file=out, width=120).print(show.status_screen(STATUS, [], [], NOW))
    text = " ".join(out.getvalue().split())
    assert "slice 2 s ago decision 5 min 0 s ago reconciled never" in text
    assert "up 1 d 2 h" in text


def test_a_status_with_nothing_in_it_is_still_a_screen() -> None:
    """A daemon that has just started has no numbers yet."""
    out = io.StringIO()
    Console(file=out).print(show.status_screen({"state": "starting", "equity": None, "last_wave": None}, [], [], NOW))
    assert "starting" in out.getvalue()


@respx.mock
def test_what_restricts_trading_is_told_with_what_to_do() -> None:
    """At three in the morning: what is held back, why, since when, until when or by whom, and what ends it."""
    ours = {"since": "2026-01-02T11:57:00Z", "by": "rebalanced", "until": None}
    holds = [
        ours | {"scope": "account", "level": "halted", "code": "drawdown", "text": "25% below [x]"},
        ours | {"scope": "symbol ETH/USDT", "level": "paused", "code": "rejects", "text": "3 refused", "until": "2026-01-02T12:01:00Z"},
        ours | {"scope": "strategy momo", "level": "paused", "code": "pause", "text": "ann", "by": "ann"},
    ]
    out = io.StringIO()
    Console(file=out, width=200).print(show.status_screen(STATUS | {"state": "halted", "holds": holds}, [], [], NOW))
    text = " ".join(out.getvalue().split())
    assert "account halted drawdown: 25% below [x] (3 min 0 s ago; look into it, then `rebalanced resume`)" in text
    assert "symbol ETH/USDT paused rejects: 3 refused (3 min 0 s ago, until 2026-01-02 12:01:00)" in text
    assert "strategy momo paused pause: ann (3 min 0 s ago, by ann)" in text
    serve({"positions": [{**row, "hold": "drawdown"} for row in POSITIONS]})
    assert "drawdown" in screen("positions")


@respx.mock
def test_what_is_none_of_the_daemons_business_is_told_apart() -> None:
    """Coins of no universe and what others have locked have a line each, where there are any; of hundreds of coins a dozen are named."""
    many = {f"AIR{n}": "1" for n in range(40)}
    told = {"ringfenced": {"DOGE[x]": "7.5", **many}, "foreign_locked": {"USDT": "500"}, "kept_apart": {"BTC": "0.25"}}
    serve({"status": STATUS | told, "positions": POSITIONS, "targets": TARGETS})
    text = " ".join(screen("status").split())
    assert "in no universe, left alone: 7.5 DOGE[x], 1 AIR0" in text
    assert "and 29 more" in text
    assert "locked by orders of others: 500 USDT" in text
    serve({"status": STATUS | {"ringfenced": {}, "foreign_locked": None}, "positions": POSITIONS, "targets": TARGETS})
    assert "left alone" not in screen("status")


@respx.mock
def test_a_disabled_strategy_is_told_with_its_reason() -> None:
    """Who looks at the status or at the targets learns that they are nobody's wish any more; also while there is no decision yet."""
    serve({"status": STATUS | {"disabled": {"own": "it raised [x]"}}, "positions": POSITIONS, "targets": []})
    verbs: tuple[show.What, ...] = ("status", "targets")
    for what in verbs:
        assert "own is disabled until the next start, its last targets stand: it raised [x]" in screen(what)


SYMBOL = "1000SATS/USDT"
WIDE_ORDER: dict[str, object] = {
    "at": "2026-01-02T11:59:58Z",
    "symbol": SYMBOL,
    "side": "sell",
    "amount": "46647.4",
    "filled": "46647.4",
    "price": "63550.05",
    "state": "filled",
    "id": "rdqnyhyneryrdms5mfcmfpzxc5s",
    "decision_id": "20260102T115958Z",
}
WIDE: dict[show.What, dict[str, object]] = {
    "status": {"symbol": SYMBOL, "amount": "19783.85096979", "price": "63658.66", "value": "126958.96", "weight": 0.2683, "target": 0.2667},
    "positions": {"symbol": SYMBOL, "amount": "19783.85096979", "price": "63658.66", "value": "126958.96", "weight": 0.27, "target": 0.26},
    "targets": {"symbol": SYMBOL, "weight": 0.25, "strategies": {"momo": 0.25, "pairs": 0.1}, "as_of": "2026-01-02T11:59:58Z"},
    "orders": WIDE_ORDER,
    "fills": {**WIDE_ORDER, "state": "", "fees": [{"amount": "24.99994088", "currency": "USDT"}]},
}


@respx.mock
@pytest.mark.parametrize("what", WIDE)
def test_eighty_columns_are_enough(what: show.What) -> None:
    """On the narrowest usual terminal a row is one line, its numbers whole; what has no room is named, and wide it is all there."""
    reason = {"last_wave": {"left": {SYMBOL: "below_minimum"}}}
    serve({"positions": [WIDE["positions"]], "targets": [WIDE["targets"]], "orders": [WIDE_ORDER], "fills": [WIDE["fills"]]})
    serve({"status": STATUS | reason})
    narrow = screen(what, width=80)
    assert max(map(len, narrow.splitlines())) <= 80
    (row,) = [line for line in narrow.splitlines() if SYMBOL in line]
    assert ("below minimum" in row) == (what == "status")
    assert "…" not in narrow
    wide = screen(what, width=160)
    assert ("no room for: " in narrow, "no room for" in wide) == (what in ("status", "orders", "fills"), False)
    for value in (value for value in WIDE[what].values() if isinstance(value, str) and "T" not in value and value != "126958.96"):
        assert value in wide


@respx.mock
def test_markup_in_data_stays_text() -> None:
    """A symbol or a reason that looks like rich markup is shown as it is; a terminal's control characters do not reach it."""
    hostile = "[red]X[/red]/USDT"
    serve({"status": STATUS | {"reason": "[bold]why[/bold]\x1b[2J"}, "positions": [{"symbol": hostile}], "targets": []})
    text = screen("status")
    assert hostile in text
    assert "[bold]why[/bold]" in text
    assert "\x1b" not in text


@respx.mock
def test_json_is_what_the_api_says() -> None:
    """--json prints the answer itself, complete and parseable at any width."""
    serve({"status": STATUS})
    assert json.loads(screen("status", as_json=True)) == STATUS


@respx.mock
@pytest.mark.parametrize(
    ("what", "rows", "shown"),
    [
        ("positions", POSITIONS, ["BTC/USDT", "0.5", "25.00%"]),
        ("targets", TARGETS, ["ETH/USDT", "30.00%", "momo 30.00%"]),
        (
            "orders",
            [{"id": "r1", "symbol": "BTC/USDT", "side": "buy", "filled": "0.1", "state": "filled", "at": STATUS["last_slice"]}],
            ["filled", "11:59:58"],
        ),
        (
            "fills",
            [{"id": "t1", "symbol": "BTC/USDT", "side": "sell", "price": "50000", "fees": [{"amount": "0.5", "currency": "USDT"}]}],
            ["sell", "50000", "0.5 USDT"],
        ),
        ("fills", [], ["symbol"]),
    ],
)
def test_lists(what: show.What, rows: list[dict[str, object]], shown: list[str]) -> None:
    """Every list is a table of its rows."""
    serve({"status": STATUS, what: rows})
    text = screen(what)
    assert all(piece in text for piece in shown)


@respx.mock
def test_limit_and_token_travel() -> None:
    """The limit goes into the query, the token into the header."""
    route = respx.get(f"{URL}/api/v1/orders", params={"limit": "5"}, headers={"Authorization": "Bearer t0ken"}).respond(json=[])
    show.show("orders", URL + "/", token="t0ken", limit=5, console=Console(file=io.StringIO()))
    assert route.called


@respx.mock
@pytest.mark.parametrize(
    ("effect", "sentence"),
    [
        (httpx.ConnectError("refused"), f"nothing answers at {URL}; is the daemon running?"),
        (httpx.ReadTimeout("slow"), f"the daemon at {URL} did not answer within 5 s (ReadTimeout)"),
        (httpx.RemoteProtocolError("cut"), f"the connection to {URL} broke (RemoteProtocolError); is it a daemon, and is it well?"),
        (httpx.Response(200, text="<html>"), f"what answers at {URL} is not rebalanced (HTTP 200 without JSON)"),
        (httpx.Response(200, json=[1]), f"what answers at {URL} is not rebalanced (its status is no mapping)"),
        (
            httpx.Response(401, json={"error": "a bearer token is needed"}),
            f"the daemon at {URL} answers with HTTP 401: a bearer token is needed",
        ),
        (httpx.Response(500, json=[]), f"the daemon at {URL} answers with HTTP 500: Internal Server Error"),
    ],
)
def test_no_answer_is_one_sentence(effect: httpx.Response | Exception, sentence: str) -> None:
    """Whatever is wrong at the other end, a person reads one sentence with the address."""
    route = respx.get(f"{URL}/api/v1/status")
    route.mock(side_effect=effect) if isinstance(effect, Exception) else route.mock(return_value=effect)
    respx.get(url__regex=r".*/(positions|targets)").respond(json=[])
    with pytest.raises(show.NoAnswer) as caught:
        screen("status")
    assert str(caught.value) == sentence


@pytest.mark.parametrize("url", ["127.0.0.1:8787", "ftp://x", "http://[::x]", ""])
def test_a_wrong_address_is_one_sentence(url: str) -> None:
    """An address that is none is told with an example of one."""
    with pytest.raises(show.NoAnswer, match=r"one looks like http://127\.0\.0\.1:8787"):
        show.fetch(url, "/api/v1/status")


def test_nobody_there_is_one_sentence() -> None:
    """A real refused connection reads the same."""
    with pytest.raises(show.NoAnswer, match=r"nothing answers at http://127\.0\.0\.1:9; is the daemon running\?"):
        show.fetch("http://127.0.0.1:9", "/healthz")


def test_durations_have_two_units() -> None:
    """The two largest ones, never negative (clocks differ)."""
    lengths = [timedelta(seconds=s) for s in (-5, 0, 59, 3600, 90_000)]
    assert [duration(length) for length in lengths] == ["0 s", "0 s", "59 s", "1 h 0 min", "1 d 1 h"]


@respx.mock
def test_health_is_that_the_loop_turns() -> None:
    """A daemon that may not trade is healthy all the same, and says why it is not ready."""
    respx.get(f"{URL}/healthz").respond(json={"ok": True})
    respx.get(f"{URL}/readyz").respond(503, json={"ready": False, "failing": ["the account has not been reconciled yet"]})
    assert show.healthy(URL, ready=False) == "healthy: its loop turns"
    with pytest.raises(show.NoAnswer, match="not ready: the account has not been reconciled yet"):
        show.healthy(URL, ready=True)


@respx.mock
def test_nobody_is_not_healthy() -> None:
    """A container whose daemon hangs or is gone is told by the exit code of the verb."""
    respx.get(f"{URL}/healthz").mock(side_effect=httpx.ReadTimeout("late"))
    result = CliRunner().invoke(app, ["health", "--url", URL])
    assert (result.exit_code, "did not answer" in result.output) == (1, True)
