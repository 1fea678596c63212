"""A fault script: what a person writes down becomes faults, or every mistake in it becomes a sentence.

Rule: `SOURCE: place what is wrong; remedy`. What a fault does not know is refused, never ignored. Texts of the script are not repeated.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from daemon.venue.faces import NAMES, PRIVATE
from daemon.venue.faults import (
    Ban,
    Close,
    Deleverage,
    Deposit,
    Effect,
    Fault,
    Filling,
    Freeze,
    Garble,
    Lag,
    Mishap,
    Often,
    Patch,
    Plant,
    Refusal,
    Reply,
    Reset,
    Scope,
    Script,
    Shift,
    Silence,
    Skew,
)

UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION: Final = re.compile(r"([-+]?\d+(?:\.\d+)?)(ms|s|m|h|d)")
STREAMS: Final = frozenset({"market", "user"})
GROUPS: Final = {"all": NAMES, "private": PRIVATE, "public": NAMES - PRIVATE}
HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
FAULTS_MAX: Final = 1000
RESET: Final = Reply()


class FaultsRefused(Exception):
    """The script is wrong; `problems` holds one sentence per mistake."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class Reader:
    """One mapping of the script. A mistake is kept as a sentence, and a harmless value stands in for what could not be read."""

    def __init__(self, values: Mapping[str, Any], place: str, problems: list[str], source: str) -> None:
        self.values = values
        self._place, self._problems, self._source = place, problems, source
        self._read: set[str] = set()

    def wrong(self, key: str, what: str, remedy: str) -> None:
        """Keep a mistake."""
        place = f"{self._place}.{key}" if self._place and key else self._place or key
        self._problems.append(f"{self._source}: {place} {what}; {remedy}")

    def said(self, key: str) -> Any:
        """What stands there, None where nothing does."""
        self._read.add(key)
        return self.values.get(key)

    def _required(self, key: str, remedy: str, *, required: bool) -> None:
        if required:
            self.wrong(key, "is missing", remedy)

    def duration(self, key: str, default: int | None = None, *, signed: bool = False, required: bool = True) -> int | None:
        """Milliseconds."""
        value, remedy = self.said(key), f"write it like {'+1.5s or -2s' if signed else '500ms, 2s, 5m or 1h'}"
        if value is None:
            self._required(key, remedy, required=required and default is None)
            return default
        found = DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None or (found[1].startswith("-") and not signed):
            self.wrong(key, "is not a duration", remedy)
            return default
        return int(Decimal(found[1]) * UNITS_MS[found[2]])

    def length(self, key: str, default: int | None = None) -> int:
        """Milliseconds that must be known."""
        return self.duration(key, default) or 0

    def whole(self, key: str, low: int, high: int, default: int | None = None, *, required: bool = True) -> int | None:
        """A whole number between two bounds."""
        value, remedy = self.said(key), f"write a whole number from {low} to {high}"
        if value is None:
            self._required(key, remedy, required=required and default is None)
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(key, "is not such a number", remedy)
            return default
        return value

    def decimal(self, key: str, default: Decimal | None = None, *, low: Decimal | None = None, high: Decimal | None = None) -> Decimal:
        """A number, exact where it is written as text; `low` and `high` are included."""
        value = self.said(key)
        between = f" from {low} to {high}" if high is not None else f" above {low}" if low is not None else ""
        remedy = f"write a number{between}"
        if value is None:
            self._required(key, remedy, required=default is None)
            return default or Decimal(0)
        number = _number(value)
        if number is None or not _within(number, low, high):
            self.wrong(key, "is not such a number", remedy)
            return default or Decimal(0)
        return number

    def text(self, key: str, default: str | None = None, *, what: str = "a text") -> str:
        """A text."""
        value = self.said(key)
        if value is None:
            self._required(key, f"write {what}", required=default is None)
            return default or ""
        if not isinstance(value, str):
            self.wrong(key, "is not a text", f"write {what}, in quotes")
            return default or ""
        return value

    def word(self, key: str, words: tuple[str, ...], default: str | None = None) -> str:
        """One of a few words."""
        value, remedy = self.said(key), f"write one of {', '.join(filter(None, words))}"
        if value is None:
            self._required(key, remedy, required=default is None)
            return default or words[0]
        if value not in words:
            self.wrong(key, "is none of the words of its kind", remedy)
            return default or words[0]
        return str(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Yes or no."""
        value = self.said(key)
        if value is not None and not isinstance(value, bool):
            self.wrong(key, "is neither true nor false", "write true or false")
        return value if isinstance(value, bool) else default

    def symbol(self, *, required: bool = False) -> str:
        """A market by the protocol's name; BTC/USDT is BTCUSDT."""
        return self.text("symbol", None if required else "", what="a market, like BTC/USDT").replace("/", "").upper()

    def end(self) -> None:
        """Refuse what nobody has read."""
        for key in self.values:
            if key not in self._read:
                near = difflib.get_close_matches(str(key), sorted(self._read), 1)
                self.wrong(str(key)[:40], "is not known here", f"did you mean {near[0]}?" if near else "leave it out")


def _within(number: Decimal, low: Decimal | None, high: Decimal | None) -> bool:
    """Between two bounds, both included; above the only one."""
    if high is not None:
        return (low or Decimal(0)) <= number <= high
    return low is None or number > low


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


# --- verbs -----------------------------------------------------------------------------------------------------------


def _hang(r: Reader) -> int:
    return r.length("hang", 0)


def _reject(r: Reader) -> Effect:
    """A refusal in the venue's words."""
    code = r.whole("code", -99_999, -1) or -1000
    message = r.text("message", WORDS.get(code, "Refused on purpose."))
    status = r.whole("status", 400, 599, 400)
    reply = Reply(status=status, headers=JSON, body=f'{{"code":{code},"msg":"{_quoted(message)}"}}')
    return Mishap(accepted=r.flag("accepted"), reply=reply)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _http(r: Reader) -> Effect:
    """Any answer."""
    status = r.whole("status", 200, 599, 200) or 200
    cut = r.flag("truncated")
    given = "body" in r.values
    body = r.text("body", "") if given else None
    accepted = r.flag("accepted", default=body is None)
    if body is None and not accepted:
        r.wrong("body", "is missing", "the true answer exists only for a request that is accepted: write one, or leave `accepted` out")
    return Mishap(accepted=accepted, reply=Reply(status=status, headers=_headers(r), body=body, cut=cut))


def _headers(r: Reader) -> Mapping[str, str]:
    value = r.said("headers")
    if value is None:
        return {}
    if not isinstance(value, Mapping) or any(not isinstance(each, str | int) or isinstance(each, bool) for each in value.values()):
        r.wrong("headers", "is not a mapping of names to texts", "write it like {Retry-After: 35}")
        return {}
    return {str(name): str(each) for name, each in value.items()}


def _shift(r: Reader) -> Effect:
    return Shift(r.duration("offset", signed=True) or 0)


def _patch(r: Reader) -> Effect:
    found = {name: r.decimal(name, low=Decimal(0)) for name in ("step", "tick", "notional_min") if name in r.values}
    if not r.values.keys() & {"halted", "delisted", *found}:
        r.wrong("", "changes nothing", "give it halted, delisted, step, tick or notional_min")
    return Patch(halted=r.flag("halted"), delisted=r.flag("delisted"), **found)


def _filling(r: Reader) -> Effect:
    share = r.decimal("share", Decimal(0), low=Decimal(0), high=Decimal(1))
    return Filling(share=share, after_ms=r.duration("after", required=False), at_cancel=r.flag("at_cancel"))


def _deposit(r: Reader) -> Effect:
    return Deposit(r.text("asset", what="a currency, like USDT"), r.decimal("amount"))


def _plant(r: Reader) -> Effect:
    client_id = r.text("client_id", "")
    return Plant(
        symbol=r.symbol(required=True),
        side=r.word("side", ("BUY", "SELL")),
        kind=r.word("type", ("LIMIT", "MARKET"), "LIMIT"),
        amount=r.decimal("amount", low=Decimal(0)),
        away=r.decimal("away", Decimal("0.1"), low=Decimal(0), high=Decimal("0.9")),
        client_id=client_id or None,
    )


def _deleverage(r: Reader) -> Effect:
    return Deleverage(r.symbol(required=True), r.decimal("share", Decimal(1), low=Decimal(0), high=Decimal(1)))


def _garble(way: Any) -> Callable[[Reader], Effect]:
    return lambda _r: Garble(way=way)


def _garbage(r: Reader) -> Effect:
    return Garble(way="garbage", body=r.text("body", GARBAGE))


def _delay(r: Reader) -> Effect:
    return Garble(way="delay", ms=r.length("delay"))


def _silence(way: Any) -> Callable[[Reader], Effect]:
    return lambda _r: Silence(way)


def _lag(r: Reader) -> Effect:
    return Lag(r.length("delay"))


JSON: Final = {"Content-Type": "application/json;charset=UTF-8"}
GARBAGE: Final = '{"stream":"!'
WORDS: Final = {
    -1000: "An unknown error occurred while processing the request.",
    -1003: "Too many requests.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1015: "Too many new orders.",
    -1016: "This service is no longer available.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -2010: "Account has insufficient balance for requested action.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2015: "Invalid API-key, IP, or permissions for action.",
}
LOOKS: Final[Mapping[str, frozenset[str]]] = {
    "orders": frozenset({"order.status", "openOrders.status", "allOrders"}),
    "balances": frozenset({"account.status", "account.balance", "account.position"}),
    "trades": frozenset({"myTrades", "income"}),
}


@dataclass(frozen=True, slots=True)
class Verb:
    """What a fault does. `on`: what it concerns unless the script says so, `choices` the groups that may be named; None: nothing to choose.

    `of`: the script says which kind of look-up, and `on` is one of these. `counts`: it strikes one thing at a time, so that it has count,
    every and probability; otherwise it lasts. `sides`, `symbols`: it may be about one. `once`: it is done once, at its `from`.
    """

    build: Callable[[Reader], Effect]
    on: frozenset[str] = frozenset()
    choices: Mapping[str, frozenset[str]] | None = None
    of: Mapping[str, frozenset[str]] | None = None
    counts: bool = True
    sides: bool = False
    symbols: bool = True
    once: bool = False


def _request(build: Callable[[Reader], Effect], on: frozenset[str] = frozenset({"order.place"})) -> Verb:
    return Verb(build, on, GROUPS, sides=True)


def _stream(build: Callable[[Reader], Effect], *, counts: bool, symbols: bool = True) -> Verb:
    return Verb(build, STREAMS, {}, counts=counts, symbols=symbols)


VERBS: Final[Mapping[str, Verb]] = {
    "accept_drop": _request(lambda r: Mishap(accepted=True, after_ms=_hang(r), reply=RESET)),
    "accept_502": _request(lambda _r: Mishap(accepted=True, reply=Reply(status=502, headers={"Content-Type": "text/html"}, body=HTML))),
    "accept_late": _request(lambda r: Mishap(accepted=True, after_ms=r.length("delay"))),
    "arrive_late": _request(lambda r: Mishap(accepted=True, before_ms=r.length("delay"))),
    "lose": _request(lambda r: Mishap(accepted=False, after_ms=_hang(r), reply=RESET)),
    "reject": _request(_reject),
    "http": _request(_http, GROUPS["all"]),
    "lag": Verb(_lag, frozenset(), {}, LOOKS),
    "fill": Verb(_filling, sides=True),
    "ws.mute": _stream(_silence("mute"), counts=False, symbols=False),
    "ws.blackhole": _stream(_silence("blackhole"), counts=False, symbols=False),
    "ws.freeze": Verb(lambda _r: Freeze(), frozenset({"market"}), counts=False),
    "ws.garbage": _stream(_garbage, counts=True),
    "ws.lose": _stream(_garble("lose"), counts=True),
    "ws.dup": _stream(_garble("dup"), counts=True),
    "ws.reorder": _stream(_garble("reorder"), counts=True),
    "ws.delay": _stream(_delay, counts=True),
    "ws.refuse": _stream(lambda r: Refusal(r.whole("status", 400, 599, 503) or 503), counts=True, symbols=False),
    "ws.close": Verb(lambda r: Close(r.whole("code", 1000, 4999, 1001) or 1001), STREAMS, {}, symbols=False, once=True),
    "clock": Verb(_shift, counts=False, symbols=False),
    "market": Verb(_patch, counts=False),
    "mark": Verb(lambda r: Skew(r.decimal("by", low=Decimal("-0.9"), high=Decimal(9))), counts=False),
    "adl": Verb(_deleverage, symbols=False, once=True),
    "deposit": Verb(_deposit, symbols=False, once=True),
    "order": Verb(_plant, symbols=False, once=True),
    "ban": Verb(lambda r: Ban(r.length("for")), symbols=False, once=True),
    "reset": Verb(lambda _r: Reset(), symbols=False, once=True),
}


# --- reading ---------------------------------------------------------------------------------------------------------


def read(tree: Any, source: str) -> Script:
    """The script of a tree: {seed, faults: [...]}, a list of faults, or a single one.

    Raises:
        FaultsRefused: with all that is wrong.
    """
    problems: list[str] = []
    whole = tree if isinstance(tree, Mapping) and "do" not in tree else {"faults": tree if isinstance(tree, list) else [tree]}
    r = Reader(whole, "", problems, source)
    seed = r.whole("seed", 0, 1 << 62, required=False)
    listed = r.said("faults")
    if not isinstance(listed, list) or not 0 < len(listed) <= FAULTS_MAX:
        r.wrong("faults", "is not a list of faults", f"write up to {FAULTS_MAX} of them, each like {{do: accept_drop, count: 1}}")
        listed = []
    r.end()
    found = [_fault(each, f"faults[{index}]", problems, source) for index, each in enumerate(listed)]
    if problems:
        raise FaultsRefused(problems)
    return Script(seed, tuple(each for each in found if each is not None))


def _fault(values: Any, place: str, problems: list[str], source: str) -> Fault | None:
    if not isinstance(values, Mapping):
        problems.append(f"{source}: {place} is not a mapping; write it like {{do: accept_drop, count: 1}}")
        return None
    r = Reader(values, place, problems, source)
    do = r.text("do", what=f"one of {', '.join(VERBS)}")
    verb = VERBS.get(do)
    if verb is None:
        near = difflib.get_close_matches(do, list(VERBS), 1)
        if isinstance(values.get("do"), str):
            r.wrong("do", "is not a fault", f"did you mean {near[0]}?" if near else f"write one of {', '.join(VERBS)}")
        return None
    fault = Fault(do=do, effect=verb.build(r), scope=_scope(verb, r), often=_often(verb, r), said=_plain(values))
    r.end()
    return fault


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _scope(verb: Verb, r: Reader) -> Scope:
    symbol = r.symbol() if verb.symbols else ""
    side = r.word("side", ("", "BUY", "SELL"), "") if verb.sides else ""
    return Scope(on=_on(verb, r), symbol=symbol, side=side)


def _on(verb: Verb, r: Reader) -> frozenset[str]:
    """The end points or streams that the script names, by name or by group."""
    if verb.choices is None:
        return verb.on
    usual = verb.on if verb.of is None else verb.of[r.word("of", tuple(verb.of))]
    value = r.said("on")
    named = [value] if isinstance(value, str) else value
    if named is None:
        return usual
    every = NAMES if verb.choices is GROUPS else usual
    known = {name: frozenset({name}) for name in every} | dict(verb.choices)
    if not isinstance(named, list) or not named or any(not isinstance(name, str) or name not in known for name in named):
        r.wrong("on", "names something that is not there", f"write one of {', '.join(sorted(known))}, or a list of them")
        return usual
    return frozenset().union(*(known[name] for name in named))


def _often(verb: Verb, r: Reader) -> Often:
    start = r.duration("from", 0) or 0
    if verb.once:
        return Often(count=1, start_ms=start)
    end = r.duration("until", required=False)
    if end is not None and end <= start:
        r.wrong("until", "is not after `from`", "both count from when the fault was added")
    if not verb.counts:
        return Often(start_ms=start, end_ms=end)
    return Often(
        count=r.whole("count", 1, 1 << 31, required=False),
        every=r.whole("every", 1, 1 << 31, 1) or 1,
        probability=float(r.decimal("probability", Decimal(1), low=Decimal(0), high=Decimal(1))),
        start_ms=start,
        end_ms=end,
    )
