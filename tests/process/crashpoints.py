"""Crash points: moments of an order's life, of a start and of a stop, and a daemon that kills itself when it comes to one.

`python -m tests.process.crashpoints kill POINT PASSING run FILE` is `rebalanced run FILE` which SIGKILLs itself when it passes POINT for
the PASSING-th time; with `freeze` it stands still there, and its event loop with it. Rule: the program is the one that ships; what knows of
these moments is wrapped around it here, and nowhere in it.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, Final, Literal

from daemon.core.events import OrderFilled, OrderReported, WaveSettled
from daemon.core.model import Order

Arguments = tuple[Any, ...]


def carries(kind: type, how: str = "") -> Callable[[Arguments], bool]:
    """Whether a call is about a fact of this kind, however the facts are wrapped; reports may be asked for by how they came."""

    def found(arguments: Arguments) -> bool:
        return any(isinstance(fact, kind) and how in ("", getattr(fact, "how", "")) for fact in _facts(arguments[1:]))

    return found


def _facts(values: Any) -> Iterator[Any]:
    """What is in a commit, in a batch, in a list of batches."""
    for value in values:
        if hasattr(value, "facts"):
            yield from value.facts
        elif isinstance(value, list):
            yield from _facts(value)
        else:
            yield value


def asks(method: str) -> Callable[[Arguments], bool]:
    """Whether a request is about one order, by this method."""
    return lambda arguments: arguments[0].method == method and arguments[0].url.path.endswith("/order")


def posts_an_order(arguments: Arguments) -> bool:
    """Whether ccxt is about to send an order."""
    _, url, method, *_ = *arguments, "GET"
    return method == "POST" and str(url).endswith("/order")


@dataclass(frozen=True, slots=True)
class Point:
    """A moment: before or after calls of `target` (`module:name`) for which `only` holds. `passings`: it comes at least so often.

    `trouble` is what the exchange must do wrong for the moment to come. `stops`: it comes only when the daemon is asked to stop.
    """

    name: str
    target: str
    when: Literal["before", "after"]
    only: Callable[[Arguments], bool] = lambda _: True
    passings: int = 1
    trouble: Mapping[str, Any] = field(default_factory=dict)
    stops: bool = False


_COMMIT, _WRITE = "daemon.io.journal.journal:Journal.commit", "daemon.io.journal.store:Store.write"
_WIRE = "aiohttp.client_reqrep:ClientResponse.start"  # from the moment in which a request has left until its answer begins
_VENUE = "daemon.io.ccxt_exchange:CcxtExchange"
_LOST: Final = {"do": "lose", "count": 1}  # nobody tells of it, so it must be asked for
_OPEN: Final = {"do": "fill", "share": "0.5", "count": 1}  # half of it stays open, until a newer decision cancels it

POINTS: Final = (
    # a start
    Point("journal migrated, no run begun", "daemon.io.journal.schema:migrate", "after"),
    Point("journal open, not read", "daemon.io.journal.store:Store.open", "after"),
    Point("orders recovered, nothing asked", "daemon.trader:restored", "after"),
    Point("account read, not reconciled", f"{_VENUE}.balances", "after", passings=2),
    Point("look-up sent, not answered", _WIRE, "before", asks("GET"), trouble=_LOST),
    Point("look-up answered, nothing concluded", f"{_VENUE}.order", "after", trouble=_LOST),
    # an intent
    Point("intent not written", _COMMIT, "before", carries(Order), passings=2),
    Point("intent half written", "daemon.io.journal.store:Store._write_batch", "after", carries(Order), passings=2),
    Point("intent written, not queued", _WRITE, "after", carries(Order), passings=2),
    Point("intent queued, not sent", "daemon.io.gateway:Gateway._send", "before"),
    Point("between two orders of a wave", "daemon.io.gateway:Gateway._send", "after", passings=2),
    Point("order at the gate, not on the wire", "daemon.io.ccxt_client:Guarded.fetch", "before", posts_an_order, passings=2),
    # an answer
    Point("order sent, not answered", _WIRE, "before", asks("POST"), passings=2),
    Point("order answered, answer not read", _WIRE, "after", asks("POST"), passings=2),
    Point("answer read, not handled", f"{_VENUE}.submit", "after", passings=2),
    Point("answer handled, not written", _COMMIT, "before", carries(OrderReported, "submit"), passings=2),
    Point("answer written, not told", _WRITE, "after", carries(OrderReported, "submit"), passings=2),
    # a trade
    Point("trade of the stream not written", _COMMIT, "before", carries(OrderReported, "stream"), passings=2),
    Point("trade of the stream written, not told", _WRITE, "after", carries(OrderReported, "stream"), passings=2),
    Point("trade half written", "daemon.io.journal.store:Store._write_batch", "after", carries(OrderFilled), passings=3),
    Point("trade booked, order not followed", "daemon.core.reconciler:PositionReconciler.on_fill", "before", passings=3),
    # a cancel
    Point("cancel sent, not answered", _WIRE, "before", asks("DELETE"), trouble=_OPEN),
    Point("cancel answered, order not looked at", f"{_VENUE}.cancel", "after", trouble=_OPEN),
    # the end of a wave
    Point("wave settled, not written", _COMMIT, "before", carries(WaveSettled), passings=2),
    Point("wave settled and written", _WRITE, "after", carries(WaveSettled), passings=2),
    # a stop
    Point("stop asked for", "daemon.app:Daemon.stop", "after", stops=True),
    Point("orders known, edges open", "daemon.app:Daemon._close", "before", stops=True),
    Point("edges closed, journal not emptied", "daemon.io.journal.store:Store.close", "before", stops=True),
    Point("journal emptied, lock not given back", "daemon.io.journal.store:Store.close", "after", stops=True),
)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _freeze() -> None:
    time.sleep(FROZEN_S)


FROZEN_S: Final = 600.0  # longer than any test waits
BLOWS: Final[Mapping[str, Callable[[], None]]] = {"kill": _kill, "freeze": _freeze}


class Countdown:
    """Strikes the process at the `passing`-th call: ends it, as a power cut would, or has it stand still."""

    def __init__(self, only: Callable[[Arguments], bool], passing: int, blow: Callable[[], None]) -> None:
        self._only, self._left, self._blow = only, passing, blow

    def __call__(self, arguments: Arguments) -> None:
        """A call has come."""
        if self._only(arguments):
            self._left -= 1
            if self._left == 0:
                self._blow()


def place(target: str) -> tuple[Any, str]:
    """Whose attribute a target is, and how it is called. KeyError, AttributeError: there is no such thing any more."""
    module, _, path = target.partition(":")
    *above, name = path.split(".")
    owner: Any = import_module(module)
    for step in above:
        owner = getattr(owner, step)
    return owner, name


def arm(point: Point, passing: int, blow: Callable[[], None]) -> None:
    """Wrap what the point names, wherever it is called from."""
    owner, name = place(point.target)
    kept = vars(owner)[name]
    passed = Countdown(point.only, passing, blow)
    made = isinstance(kept, classmethod)
    wrapped = _around(kept.__func__ if made else kept, point.when, passed)
    setattr(owner, name, classmethod(wrapped) if made else wrapped)


def _around(kept: Callable[..., Any], when: str, passed: Countdown) -> Callable[..., Any]:
    @wraps(kept)
    async def waiting(*args: Any, **named: Any) -> Any:
        if when == "before":
            passed(args)
        try:
            return await kept(*args, **named)
        finally:
            if when == "after":
                passed(args)

    @wraps(kept)
    def at_once(*args: Any, **named: Any) -> Any:
        if when == "before":
            passed(args)
        try:
            return kept(*args, **named)
        finally:
            if when == "after":
                passed(args)

    return waiting if iscoroutinefunction(kept) else at_once


if __name__ == "__main__":
    from daemon.cli.main import main

    (chosen,) = [point for point in POINTS if point.name == sys.argv[2]]
    arm(chosen, int(sys.argv[3]), BLOWS[sys.argv[1]])
    sys.argv[1:] = sys.argv[4:]
    main()
