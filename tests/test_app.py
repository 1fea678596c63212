"""The daemon as a whole: it starts, trades, answers, ends in order, goes on where it was, and lets nothing die in silence."""

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from daemon.app import routes, together
from daemon.core import events as e
from daemon.core.indicators import RSI
from daemon.core.model import Decision, Order, TargetWeights
from daemon.core.trading import Trading
from daemon.io.api import PortInUse
from daemon.io.clock import SystemClock
from daemon.io.exchange import Exchange, Fatal, Unknown
from daemon.io.journal import Journal, JournalFailed, read
from daemon.io.journal.store import Batch
from daemon.io.journal.writer import Sink
from daemon.lasting import PROBE_MAX_S, lasting
from daemon.parts import Parts, StartRefused
from daemon.venue import Venue, VenueSettings
from tests.oneprocess import KEYS, NOWHERE, SYMBOLS, at_work, exchange, opened, written
from tests.research.files import opens, store, walk

AWAY = {side: {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"} for side in ("api", "test")}


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with exchange() as running:
        yield running


def held_by(venue: Venue) -> dict[str, Any]:
    """Totals by asset, without those of nothing."""
    totals = {asset: each.free + each.locked for asset, each in venue.exchange.account.balances.items()}
    return {asset: total for asset, total in totals.items() if total}


def held_in(journal: Path) -> dict[str, Any]:
    """The journal's fold."""
    return read(journal).ledger().holdings()


# --- the first history -----------------------------------------------------------------------------------------------


async def test_the_warm_up_reads_on_where_a_price_stood_still(tmp_path: Path) -> None:
    """An RSI over a price without a change rests on what was before: that symbol's history is read until it is known, to 1e-9."""
    rows, still = 900, 500
    prices = {symbol: walk(2 * rows, seed) for seed, symbol in enumerate(SYMBOLS)}
    prices["ETH/USDT"][still:] = prices["ETH/USDT"][still, 3]
    for symbol, values in prices.items():
        store(tmp_path / "data", symbol, opens(2 * rows), values)
    asked: list[tuple[str, int]] = []

    def listen(parts: Parts) -> None:
        bars = parts.exchange.bars

        async def heard(symbol: str, timeframe: timedelta, **more: Any) -> Any:
            asked.append((symbol, more.get("limit", 0)))
            return await bars(symbol, timeframe, **more)

        parts.exchange.bars = heard  # type: ignore[method-assign]

    settings = VenueSettings(data=tmp_path / "data", interval="1s", markets=3, history=rows)
    async with Venue(settings) as venue, at_work(written(tmp_path, venue.ccxt_urls()), change=listen) as run:
        decision = (await run.settled(sent=0)).decision
    # Eighty, doubled while the price stands still, and a few more for bars that close while the question is on its way.
    for_eth, for_btc = ([limit for symbol, limit in asked if symbol == wanted and 40 < limit < 1000] for wanted in ("ETH/USDT", "BTC/USDT"))
    assert [min(limit // 80, 8) for limit in for_eth[:4]] == [1, 2, 4, 8]
    assert max(for_btc) < 160
    endless = RSI(2, 1).block(prices["ETH/USDT"][:rows, 3:4])[-1, 0]
    assert decision.by_strategy["momo"].signals["ETH/USDT"]["rsi"] == pytest.approx(endless, rel=1e-9)


# --- one life after the other ----------------------------------------------------------------------------------------


async def test_it_trades_answers_stops_and_goes_on(venue: Venue, tmp_path: Path) -> None:
    """From nothing to a settled wave that the API shows; stopped in order; and the next start goes on from the journal."""
    config = written(tmp_path, venue.ccxt_urls())
    async with at_work(config) as run:
        await run.until(lambda: run.daemon.api.port != 0)
        assert (await run.get("/readyz"))[0] == 503
        first = await run.settled()
        await run.until(lambda: run.daemon.views.ready()[0])
        assert await run.get("/readyz") == (200, {"ready": True, "failing": []})
        assert (await run.get("/healthz"))[0] == 200
        # Trades before orders: it trades on meanwhile, and whatever has traded was ordered.
        (_, status), (_, fills), (_, orders) = [await run.get(f"/api/v1/{view}") for view in ("status", "fills", "orders")]
        assert (status["state"], status["drift"], status["mode"]) == ("running", 0.0, "sandbox")
        # Each answer is held against the document of the API.
        assert {(await run.get(path))[0] for path in ("/api/v1/equity", "/api/v1/decisions", "/api/v1/analysis")} == {200}
        assert {(await run.get(f"/api/v1/why/{symbol}"))[0] for symbol in SYMBOLS} == {200}
        assert {order["decision_id"] for order in orders} >= {first.decision.id}
        assert {fill["order_id"] for fill in fills} <= {order["id"] for order in orders}
        assert [row["symbol"] for row in (await run.get("/api/v1/positions"))[1]] == [*SYMBOLS, "USDT"]
        assert [row["symbol"] for row in (await run.get("/api/v1/targets"))[1]] == list(SYMBOLS)
    assert read(run.path).open_orders == ()
    assert held_in(run.path) == held_by(venue)

    known = read(run.path).last_decision
    assert known is not None
    async with at_work(config) as again:
        later = await again.settled(sent=0, after=known.id)
        fills = (await again.get("/api/v1/fills?limit=1000"))[1]
        assert all(fill["decision_id"] for fill in fills), "those of the process before too"
    assert later.decision.as_of > known.as_of
    assert [(flow.kind, flow.currency) for flow in read(run.path).flows] == [("opening", "USDT")]
    assert held_in(run.path) == held_by(venue)
    ids = [order["clientOrderId"] for order in venue.state()["orders"]]
    assert len(ids) == len(set(ids))
    gc.collect()  # what was left open warns now, and a warning is an error


@pytest.mark.parametrize(("age", "goes_on"), [(timedelta(0), True), (timedelta(hours=25), False)])
async def test_an_unfinished_decision_goes_on_unless_it_was_overtaken(
    age: timedelta, venue: Venue, tmp_path: Path, *, goes_on: bool
) -> None:
    """A restart works on with an open decision only if no due time has passed since: the make-up would trade it back."""
    plain = {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": "24h"}}
    config = await opened(written(tmp_path, venue.ccxt_urls(), strategies=[plain]))
    as_of = SystemClock().now() - age
    with Journal.open(config.with_name("momo.sqlite"), instance="momo", mode="sandbox", clock=SystemClock()) as journal:
        targets = TargetWeights({SYMBOLS[0]: 0.3})
        await journal.commit(Decision("open", as_of, targets.weights, frozenset(), {"momo": targets}, as_of))
    async with at_work(config) as run:
        await run.settled(sent=0)
        first = (await run.journal.waves(1000))[-1]
    assert (first.decision.id == "open") is goes_on


async def test_paper_trades_without_a_key_and_goes_on(venue: Venue, tmp_path: Path) -> None:
    """In mode paper the same waves settle from the venue's prices, nothing reaches the venue, and the account survives a stop."""
    config = written(tmp_path, venue.ccxt_urls(), mode="paper")
    async with at_work(config, {}) as run:
        first = await run.settled()
        await run.until(lambda: len(run.parts.ledger.holdings()) > 1)  # a newer decision may have ended the first wave's orders
    held = held_in(run.path)
    async with at_work(config, {}) as again:
        await again.until(lambda: again.parts.reconciler.last_reconciled is not None)
        assert again.parts.ledger.holdings() == held
        assert again.parts.reconciler.differences == {}
        assert (await again.settled(sent=0, after=first.decision.id)).decision.id != first.decision.id
    assert venue.state()["orders"] == []


async def test_a_start_repeats_no_decision(venue: Venue, tmp_path: Path) -> None:
    """A strategy that decides at the start of a fresh journal does not decide again at the next one: nothing is due, nothing is sent."""
    rarely = {"schedule": {"every": 100_000, "at_start": True}, "params": {"lookback": 5, "rsi_period": 2, "top": 2}}
    strategy = {"name": "momo", "use": "portfolio_momentum", **rarely}
    config = await opened(written(tmp_path, venue.ccxt_urls(), strategies=[strategy]))
    async with at_work(config) as run:
        known = (await run.settled()).decision
    sent = len(venue.state()["orders"])
    async with at_work(config) as again:
        await again.until(lambda: again.daemon.views.ready()[0])
        began = again.daemon.views.status()["last_slice"]
        await again.until(lambda: again.daemon.views.status()["last_slice"] != began)
        assert again.parts.manager.decision == known
        assert [row["weight"] for row in again.daemon.views.targets()] == [known.weights.get(symbol, 0.0) for symbol in SYMBOLS]
    assert read(run.path).last_decision == known
    assert len(venue.state()["orders"]) == sent


# --- starts that are refused -----------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, str], dict[str, Any], int, str]] = {
    "a wrong key": ({**KEYS, "KEY": "another"}, {}, 77, "key"),
    "a wrong secret": ({**KEYS, "SECRET": "another"}, {}, 77, "signature"),
    "an unknown symbol": (KEYS, {"universe": {"quote": "USDT", "symbols": ["BTC/USDT", "ETX/USDT"]}}, 78, "ETH/USDT"),
    "a bar length that the venue does not have": (KEYS, {"timeframe": "7s"}, 78, "0:00:07"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_work_is_refused_at_the_start(what: str, venue: Venue, tmp_path: Path) -> None:
    """A start that waiting would not help ends with one sentence and its exit code, and nothing was sent."""
    keys, sections, code, word = REFUSED[what]
    async with at_work(written(tmp_path, venue.ccxt_urls(), **sections), keys) as run:
        error = await run.end()
    assert isinstance(error, StartRefused), repr(error)
    assert error.exit_code == code
    assert word.lower() in str(error).lower()
    assert "\n" not in str(error)
    assert venue.state()["orders"] == []


async def test_a_port_in_use_ends_the_start_before_anything_is_asked(venue: Venue, tmp_path: Path) -> None:
    """The API comes first: a second daemon on its port ends there, and the exchange has heard nothing of it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = written(tmp_path, venue.ccxt_urls(), api={"port": taken.getsockname()[1]})
        async with at_work(config) as run:
            assert isinstance(await run.end(), PortInUse)
    assert not venue.exchange.requests


async def test_a_venue_that_is_away_is_probed_and_said(tmp_path: Path) -> None:
    """A venue that does not answer is no mistake: the daemon waits, says why, claims nothing, and stops at once when asked."""
    async with at_work(written(tmp_path, AWAY)) as run:
        await run.until(lambda: bool(run.daemon.traders[0].views.trouble))
        status = (await run.get("/api/v1/status"))[1]
        assert (await run.get("/readyz"))[0] == 503
        began = time.monotonic()
        run.daemon.stop()
        assert await run.end() is None
        assert time.monotonic() - began < 5
    assert "does not answer" in status["reason"]
    assert (status["state"], status["equity"], status["open_orders"]) == ("starting", None, None)


# --- nothing dies in silence -----------------------------------------------------------------------------------------


class Tripwire:
    """An exchange of which one call fails, from its `first` one on."""

    def __init__(self, inner: Exchange, call: str, fails: Callable[[], Awaitable[object]], first: int = 1) -> None:
        self._inner, self._call, self._fails, self._left = inner, call, fails, first

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._call:
            return found

        async def tried(*given: object, **named: object) -> object:
            self._left -= 1
            return await self._fails() if self._left <= 0 else await found(*given, **named)

        return tried


def tripped(call: str, fails: Callable[[], Awaitable[object]], first: int = 1) -> Callable[[Parts], None]:
    """Parts whose exchange fails at a call."""

    def change(parts: Parts) -> None:
        parts.exchange = cast("Exchange", Tripwire(parts.exchange, call, fails, first))

    return change


def raising(error: BaseException) -> Callable[[], Awaitable[object]]:
    """A call that raises."""

    async def fails() -> object:
        raise error

    return fails


BUG = ZeroDivisionError("a programmer's error")
DEATHS: dict[str, tuple[Callable[[Parts], None], type[BaseException], str]] = {
    "the account's poller": (tripped("balances", raising(BUG), first=2), ZeroDivisionError, "programmer"),
    "the user stream": (tripped("watch_account", raising(BUG)), ZeroDivisionError, "programmer"),
    "the user stream, cancelled from within": (
        tripped("watch_account", raising(asyncio.CancelledError())),
        RuntimeError,
        "userstream.watch has ended by itself",
    ),
    "the bars": (tripped("watch_bars", raising(BUG)), ZeroDivisionError, "programmer"),
    "an order": (tripped("submit", raising(BUG)), ZeroDivisionError, "programmer"),
}


@pytest.mark.parametrize("who", DEATHS)
async def test_no_task_dies_alone(who: str, venue: Venue, tmp_path: Path) -> None:
    """Whatever ends one task ends the daemon with it, and is what `run` raises: the supervisor starts it afresh."""
    change, kind, word = DEATHS[who]
    async with at_work(await opened(written(tmp_path, venue.ccxt_urls())), change=change) as run:
        error = await run.end()
    assert isinstance(error, kind), repr(error)
    assert word in str(error)


class FullDisk:
    """A disk that takes nothing more from the first order on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, batches: Sequence[Batch]) -> list[Exception | None]:
        """Fail at an order."""
        if any(isinstance(fact, Order) for batch in batches for fact in batch.facts):
            raise OSError(28, "No space left on device")
        return self._sink.write(batches)


async def test_without_a_journal_nothing_is_sent(venue: Venue, tmp_path: Path) -> None:
    """A journal that fails at the intents of the first wave ends the daemon, and the venue never hears of an order."""

    def change(parts: Parts) -> None:
        parts.journal._writer._sink = FullDisk(parts.journal._writer._sink)

    async with at_work(await opened(written(tmp_path, venue.ccxt_urls())), change=change) as run:
        assert isinstance(await run.end(), JournalFailed)
        assert run.parts.manager.wave is not None, "it wanted to send"
    assert venue.state()["orders"] == []


async def test_a_job_that_returns_is_missed() -> None:
    """Jobs of the nest never end by themselves: one that does is an error with its name in it."""

    async def done() -> None:
        return None

    with pytest.raises(RuntimeError, match="account has ended by itself"):
        await lasting("account", done, SystemClock())


async def test_a_job_that_is_cancelled_is_not_missed() -> None:
    """An end in order is no error."""
    task = asyncio.create_task(lasting("account", asyncio.Event().wait, SystemClock()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


async def test_what_the_venue_says_while_running_ends_nothing() -> None:
    """A job that the venue refuses in the middle of a run begins anew after a pause; positions are open, so the process stays."""
    begun: list[float] = []

    class Quick(SystemClock):
        async def sleep(self, seconds: float) -> None:
            begun.append(seconds)

    async def refused() -> None:
        if len(begun) < 3:
            raise Fatal("451: not from here")
        await asyncio.Event().wait()

    task = asyncio.create_task(lasting("bars", refused, Quick()))
    await asyncio.sleep(0.05)
    assert begun == [PROBE_MAX_S] * 3
    assert not task.done()
    task.cancel()
    await asyncio.wait((task,))


async def test_jobs_side_by_side_end_with_the_first_error() -> None:
    """Where one of several coroutines fails at the venue, the others are stopped, and that error itself is raised."""
    others: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            others.append("stopped")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise Unknown("time-out")

    with pytest.raises(Unknown, match="time-out"):
        await together(waits(), fails(), waits())
    assert others == ["stopped", "stopped"]


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_a_second_stop_does_not_wait_for_orders(venue: Venue, tmp_path: Path) -> None:
    """A stop waits for the answer to an order under way; asked again, it leaves the order to the journal and the next start."""
    on_its_way = asyncio.Event()

    async def never() -> object:
        on_its_way.set()
        return await asyncio.Event().wait()

    async with at_work(await opened(written(tmp_path, venue.ccxt_urls())), change=tripped("submit", never)) as run:
        await run.until(on_its_way.is_set)
        run.daemon.stop()
        await asyncio.sleep(0.3)
        assert not run.task.done()
        assert (await run.get("/api/v1/status"))[1]["state"] == "stopping"
        began = time.monotonic()
        run.daemon.stop()
        assert await run.end() is None
        assert time.monotonic() - began < 2
    assert [facts for _, facts in read(run.path).open_orders] == [(), ()]
    assert read(run.path).open_decision is not None


async def test_a_shadow_sees_the_real_account_and_sends_nothing(venue: Venue, tmp_path: Path) -> None:
    """In mode shadow whole plans are made over the account as it is, and the exchange never hears of an order."""
    async with at_work(written(tmp_path, venue.ccxt_urls(), mode="shadow")) as run:
        wave = await run.settled(sent=0)
        assert "shadow" in wave.left.values()
        assert (await run.get("/api/v1/status"))[1]["mode"] == "shadow"
    assert venue.state()["orders"] == []


async def test_the_first_wave_waits_for_approval(venue: Venue, tmp_path: Path) -> None:
    """Nothing is sent before a person's word, which a restart does not ask for again."""
    api = {"port": 0, "token": {"env": "TOKEN"}}
    config = written(tmp_path, venue.ccxt_urls(), api=api, execution={"approve": 1})
    keys = {**KEYS, "TOKEN": "open-sesame"}
    async with at_work(config, keys) as run:
        await run.until(lambda: bool(run.parts.manager.approval.asked))
        assert venue.state()["orders"] == []
        assert (await run.post("approve"))[0] == 200
        first = await run.settled()
    async with at_work(config, keys) as again:
        await again.settled(sent=0, after=first.decision.id)
        assert (await again.post("approve"))[0] == 409


async def test_a_daemon_is_commanded_and_remembers_it(venue: Venue, tmp_path: Path) -> None:
    """Flattened over the API it sells all and halts; the halt survives a restart, and only a person leaves it; then it trades again."""
    config = written(tmp_path, venue.ccxt_urls(), api={"port": 0, "token": {"env": "TOKEN"}})
    keys = {**KEYS, "TOKEN": "open-sesame"}
    async with at_work(config, keys) as run:
        first = await run.settled()
        assert (await run.post("flatten"))[0] == 200
        await run.until(lambda: run.parts.manager.state == "halted")
        assert all(run.parts.account.weight(s, Decimal(100_000)) < 1e-4 for s in SYMBOLS), "what is left is less than a step"
    async with at_work(config, keys) as again:
        await again.until(lambda: again.parts.manager.trading is Trading.RUNNING)
        _, status = await again.get("/api/v1/status")
        assert (status["state"], "has flattened" in status["reason"]) == ("halted", True)
        assert (await again.post("rebalance"))[0] == 409
        assert (await again.post("resume"))[0] == 200
        assert (await again.post("rebalance"))[0] == 200
        later = await again.settled(after=first.decision.id + "0")
        assert later.filled > 0
        verbs = [command.verb for command in await again.journal.commands()]
    assert verbs == ["rebalance", "resume", "rebalance", "flatten"]


# --- the picture -----------------------------------------------------------------------------------------------------


async def test_every_event_has_its_line_in_the_picture(tmp_path: Path) -> None:
    """No kind of event can be published that nobody hears: each stands in the route table, once, and the log hears all of them first."""
    async with at_work(written(tmp_path, AWAY)) as run:
        table = routes(run.daemon.traders[0])
        assert sorted(kind.__name__ for kind, _ in table) == sorted(kind.__name__ for kind in get_args(e.Event))
        assert {handlers[0] for _, handlers in table} == {run.daemon.traders[0].tell}
