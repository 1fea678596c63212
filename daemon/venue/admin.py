"""The venue's own end points under /venue, for tests and people. None of them exists at the real exchange.

Rule: money as decimal text, times in UTC ms; looking changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from daemon.venue import faultscript
from daemon.venue.errors import VenueError
from daemon.venue.exchange import Exchange
from daemon.venue.faces import Face
from daemon.venue.faultscript import FaultsRefused
from daemon.venue.intervals import divides
from daemon.venue.listeners import Listeners, dumps
from daemon.venue.markets import Market
from daemon.venue.money import text
from daemon.venue.streams import Hub
from daemon.venue.targets import Target


class Venue(Protocol):
    """What these end points need of the running venue."""

    @property
    def exchange(self) -> Exchange:
        """Account, markets, matching, prices."""
        ...

    @property
    def hub(self) -> Hub:
        """The market streams."""
        ...

    @property
    def listeners(self) -> Listeners:
        """The open websockets."""
        ...

    @property
    def face(self) -> Face:
        """The kind of market."""
        ...

    def audit(self) -> list[str]:
        """What is wrong with the books."""
        ...

    def act(self) -> None:
        """Do what faults are to do once, and now."""
        ...


Handler = Callable[["Venue", dict[str, Any]], Awaitable[Any]]


def add_routes(app: web.Application, venue: Venue) -> None:
    """Put the venue's own end points into the app."""
    for method, path, handler in (
        ("GET", "/venue/state", _state),
        ("GET", "/venue/audit", _audit),
        ("GET", "/venue/bars", _bars),
        ("POST", "/venue/dump", _dump),
        ("POST", "/venue/deposit", _deposit),
        ("POST", "/venue/targets", _targets),
        ("GET", "/venue/faults", _faults),
        ("POST", "/venue/faults", _add_faults),
        ("DELETE", "/venue/faults", _clear_faults),
    ):
        app.router.add_route(method, path, _wrapped(venue, handler))


def _wrapped(venue: Venue, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            values: Any = dict(request.query)
            if request.can_read_body:
                body = await request.json()
                values = values | body if isinstance(body, dict) else body
            return web.json_response(text=dumps(await handler(venue, values)))
        except VenueError as error:
            return web.json_response(error.body(), status=error.status)
        except FaultsRefused as error:
            return web.json_response({"code": -1, "msg": str(error), "problems": error.problems}, status=400)
        except (ValueError, KeyError, InvalidOperation, OSError) as error:
            return web.json_response({"code": -1, "msg": f"{type(error).__name__}: {error}"}, status=400)

    return handle


def state(venue: Venue) -> dict[str, Any]:
    """Everything the venue has booked and counted."""
    exchange = venue.exchange
    account, matching, now = exchange.account, exchange.matching, exchange.now()
    exchange.advance(now)
    return {
        "time": now,
        "started": exchange.started,
        "interval": exchange.settings.interval,
        "markets": len(exchange.markets),
        "initial": {asset: text(amount) for asset, amount in account.initial.items()},
        **venue.face.holdings(exchange),
        "transfers": [{"asset": t.asset, "amount": text(t.amount), "at": t.at} for t in account.transfers],
        "orders": [exchange.words.queried(order) for orders in matching.orders.values() for order in orders],
        "trades": [exchange.words.trade(trade) for trades in matching.trades.values() for trade in trades],
        "requests": dict(exchange.requests),
        "unknown_paths": dict(exchange.unknown),
        "weight": {"used": exchange.limits.weight.add(0, now), "limit": exchange.limits.weight.limit, "refused": exchange.limits.refused},
        "websockets": {**venue.listeners.counts, "streams": len(venue.hub.streams), "sent": venue.hub.sent},
        "violations": venue.audit(),
    }


async def _state(venue: Venue, _values: dict[str, Any]) -> Any:
    return state(venue)


async def _audit(venue: Venue, _values: dict[str, Any]) -> Any:
    return venue.audit()


async def _bars(venue: Venue, values: dict[str, Any]) -> Any:
    """Closed bars of a market, oldest first: [open time, open, high, low, close, volume]; `live_from` divides history from live bars."""
    exchange = venue.exchange
    market = exchange.market(values["symbol"])
    interval = values.get("interval", exchange.settings.interval)
    if not divides(exchange.settings.interval, interval):
        raise ValueError(f"interval {interval} cannot be made of {exchange.settings.interval} bars")
    now, tape = exchange.now(), exchange.tape
    bars = tape.bars(market.index, interval, int(values.get("start", 0)), now, now)
    closed = [[bar.start, *bar[2:]] for bar in bars if bar.end <= now]
    return {"symbol": market.symbol, "interval": interval, "live_from": tape.opens(exchange.first_live), "bars": closed}


async def _dump(venue: Venue, values: dict[str, Any]) -> Any:
    """Write the closed bars of the markets that were shown to anybody, or of `symbols`, as BASE_QUOTE-INTERVAL.parquet into `dir`."""
    exchange = venue.exchange
    names = values.get("symbols")
    names = names.split(",") if isinstance(names, str) else names
    markets = [exchange.market(name) for name in names] if names else [exchange.markets[index] for index in sorted(exchange.shown)]
    return {"files": [str(path) for path in dump(exchange, Path(values["dir"]), markets)]}


def dump(exchange: Exchange, folder: Path, markets: list[Market]) -> list[Path]:
    """Write the markets' closed base bars, history and live ones, in the format of market data files."""
    import pyarrow as pa  # heavy, and only a dump needs it
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for market in markets:
        for name, columns in exchange.recording(market).items():
            written.append(folder / f"{name}.parquet")
            parquet.write_table(pa.table(columns), written[-1])
    return written


async def _deposit(venue: Venue, values: dict[str, Any]) -> Any:
    """Move money in, or out if the amount is negative."""
    booked = venue.exchange.transfer(values["asset"], Decimal(str(values["amount"])))
    return {"asset": booked.asset, "amount": text(booked.amount), "at": booked.at}


async def _targets(venue: Venue, values: dict[str, Any]) -> Any:
    """Declare what is wanted, base units by market, or null for nothing in particular; an order that leads away from it is a finding.

    `{"BTCUSDT": "0.5"}`, or `{"BTCUSDT": {"amount": "0.5", "tolerance": "0.01"}}`.
    """
    exchange = venue.exchange
    wanted = {exchange.market(symbol.replace("/", "")).symbol: _target(value) for symbol, value in values.items()}
    for symbol, target in wanted.items():
        exchange.targets.declare(symbol, target)
    return {symbol: {"amount": text(t.amount), "tolerance": text(t.tolerance)} for symbol, t in exchange.targets.declared.items()}


def _target(value: Any) -> Target | None:
    if value is None:
        return None
    amount, tolerance = (value["amount"], value.get("tolerance", 0)) if isinstance(value, dict) else (value, 0)
    return Target(Decimal(str(amount)), Decimal(str(tolerance)))


async def _faults(venue: Venue, _values: dict[str, Any]) -> Any:
    """What goes wrong, how much of it was seen and how often it struck."""
    exchange = venue.exchange
    return {"seed": exchange.faults.seed, "faults": exchange.faults.told(exchange.now())}


async def _add_faults(venue: Venue, values: Any) -> Any:
    """Add one fault, a list of them or a whole script; their times count from now."""
    script = faultscript.read(values, "POST /venue/faults")
    if script.seed is not None:
        venue.exchange.faults.seed = script.seed
    added = venue.exchange.faults.add(script.faults, venue.exchange.now())
    venue.act()
    return {"added": added}


async def _clear_faults(venue: Venue, values: dict[str, Any]) -> Any:
    """Lift all faults, or the one of `id`."""
    number = int(values["id"]) if "id" in values else None
    return {"lifted": venue.exchange.faults.clear(number)}
