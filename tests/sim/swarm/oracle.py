"""Oracle: what must hold whatever goes wrong, judged by the venue's books and by what was told, never by the daemon's opinion of it.

Rule: it hears every event before anybody acts on it, sees every order leave and every answer come, and remembers across the daemon's lives.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from daemon.app import Daemon
from daemon.core import events as e
from daemon.core.ledger import FUNDING, LIQUIDATION, POSITION
from daemon.core.model import ZERO, Decision, Fill, Flow, Order, OrderReport, Status, currencies
from daemon.core.ordertable import State
from daemon.core.states import ACCOUNT, Level, Scope
from daemon.core.trading import Trading
from daemon.core.twins import MARGIN, OTHER_INSTANCE
from daemon.io.journal import Recovered
from tests.core.parentage import Parentage
from tests.sim.swarm.books import Booked, Books
from tests.sim.swarm.faults import Fault

# A plan may rest on prices of 15 s, its later rounds on those of the first for 15 s more, and a request may wait for its turn.
STALE_MAX: Final = timedelta(seconds=40)
# Prices move while an order is under way, and fees are taken; what is bought beyond this was bought twice.
BEYOND: Final = Decimal("1.04")
# A purchase by two decisions in a row, with everything that was meant at the time.
DECISIONS_KEPT: Final = 3
# What is booked without a trade, and is no correction of what nobody could explain.
EXPECTED: Final = frozenset({"opening", FUNDING, LIQUIDATION, POSITION})
# Where other hands are in the account, a difference may be theirs or an order's that nobody finds; a person is then asked.
QUIET: Final = (e.TimePassed, e.PriceTicked, e.MarkTicked, e.FundingTold, e.BarClosed, e.SliceClosed, e.MeasureClock)


# Where a story keeps its files, which is another place each time it is told.
FOLDER: Final = r"/\S*/swarm-[^/]+/"


class Broken(AssertionError):
    """Something that must hold does not."""


class Oracle:
    """All that must hold over one story."""

    def __init__(self, books: Books, now: Callable[[], datetime], at_work: Callable[[], Iterable[Fault]]) -> None:
        self.books = books
        self.problems: list[str] = []
        self.matrix: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[str] = Counter()
        self.told: list[str] | None = None  # the events as text, where somebody wants to read them
        self.paused: set[Scope] = set()  # what a person was told to be paused, flattened or halted
        self.twins: set[str] = set()  # ids of orders that another instance has made
        self._now = now
        self._at_work = at_work
        self._digest = hashlib.blake2b(digest_size=16)
        self._stamp: tuple[datetime | None, str] = None, ""  # a moment as text, since much happens at one
        self._decisions: dict[str, Decision] = {}
        self._raised: dict[tuple[str, str], float] = {}  # targets that a plan has raised, since others are too small to be traded
        self._sent: dict[str, Order] = {}
        self._prices: dict[str, datetime] = {}
        self._daemon: Daemon | None = None
        self._owed: dict[str, str] = {}  # orders whose end this life does not know, with their symbols
        self._seen: set[str] = set()  # ids that this life has been told of, or that there are no such orders
        self._shown: set[str] = set()  # ids that this life has been told of
        self._read = False
        self._stopping = False
        self._twin = ""  # an order by which this life knows that it is not alone
        self._parentage = Parentage(books)
        books.on_fill = self.filled

    @property
    def fingerprint(self) -> str:
        """The same for the same events, in the same order, at the same moments."""
        return self._digest.hexdigest()

    def broken(self, what: str) -> None:
        """Note that something does not hold."""
        at = self._now()
        self.problems.append(f"{at:%H:%M:%S.%f} {what}")
        self.note(f"BROKEN {what}")

    def note(self, text: str) -> None:
        """Part of the story."""
        now = self._now()
        if now != self._stamp[0]:
            self._stamp = now, f"{now:%H:%M:%S.%f}"
        line = f"{self._stamp[1]} {text}"
        self._digest.update(line.encode())
        if self.told is not None:
            self.told.append(_short(line))

    # --- lives -------------------------------------------------------------------------------------------------------

    def begins(self, daemon: Daemon, record: Recovered) -> None:
        """A process starts from this record."""
        self._daemon = daemon
        self._owed = {order.id: order.symbol for order, _ in record.open_orders}
        self._seen, self._shown, self._read, self._stopping = set(), set(), False, False
        self._prices.clear()
        self.counts["lives"] += 1
        self.note(f"a process starts, {len(self._owed)} orders open")

    def ends(self, why: str) -> None:
        """A process is no more."""
        self._daemon = None
        self._twin = ""  # what the journal has of it is judged by the hold
        self.note(f"the process is gone: {re.sub(FOLDER, '', why)}")

    # --- what passes the door ----------------------------------------------------------------------------------------

    def shown(self, order_id: str) -> None:
        """The process has been told of an order."""
        self._seen.add(order_id)
        self._shown.add(order_id)

    def denied(self, order_id: str) -> None:
        """A look-up has answered that there is no such order."""
        self._seen.add(order_id)

    def priced(self, symbol: str, at: datetime) -> None:
        """The process has been told a price."""
        self._prices[symbol] = max(at, self._prices.get(symbol, at))

    def called(self, name: str) -> None:
        """The venue is asked something: which orders were there in which state, under which faults?"""
        self._read |= name == "balances"
        self.counts[f"call {name}"] += 1
        self.strikes(self._at_work())

    def strikes(self, faults: Iterable[Fault]) -> None:
        """These faults are at work now."""
        daemon = self._daemon
        if daemon is None:
            return
        states = {tracked.state.value for tracked in daemon.traders[0].parts.table} or {"none"}
        for fault in faults:
            for state in states:
                self.matrix[(state, fault.kind.value)] += 1

    def leaves(self, order: Order) -> None:
        """An order is handed to the transport."""
        self.note(f"LEAVES {order.id} {order.side} {order.amount} {order.symbol} of {order.decision_id}")
        self.counts["submits"] += 1
        self.strikes(self._at_work())
        daemon = self._daemon
        assert daemon is not None
        name = f"{order.id} ({order.side} {order.amount} {order.symbol})"
        if order.id in self._sent:
            self.broken(f"{name} is sent again")
        self._sent[order.id] = order
        if daemon.traders[0].parts.journal._store._connection.execute("SELECT 1 FROM orders WHERE id = ?", (order.id,)).fetchone() is None:
            self.broken(f"{name} is sent without an intent on disk")
        self._in_order(daemon, order, name)
        doubted = {tracked.order.id for tracked in daemon.traders[0].parts.table if tracked.state is State.UNKNOWN}
        if wrong := self._parentage.leaves(order, doubted):
            self.broken(f"{name} {wrong}")
        self._owed[order.id] = order.symbol

    def _in_order(self, daemon: Daemon, order: Order, name: str) -> None:
        """Whether it may leave, as things stand."""
        manager = daemon.traders[0].parts.manager
        unheard = sorted(set(self._owed) - self._seen - set(self._sent_now(daemon)))
        if manager.trading is not Trading.RUNNING or not self._read:
            self.broken(f"{name} is sent while {manager.trading}, account read: {self._read}")
        if unheard:
            self.broken(f"{name} is sent before {unheard} were looked up after the start")
        if self._twin:
            self.broken(f"{name} is sent, and {self._twin} is of another instance")
        if self._stopping:
            self.broken(f"{name} is sent although the daemon is ending")
        if not manager.states.permits(order.symbol, order.side, self._stands(order)):
            self.broken(f"{name} is sent against {manager.states.of_symbol(order.symbol)}")
        flattening = not order.spends_quote and level(daemon) is Level.FLATTENING  # which is more severe than a pause
        if {ACCOUNT, Scope(symbol=order.symbol)} & self.paused and not flattening:
            self.broken(f"{name} is sent although a person was told that it is paused")
        price = self._prices.get(order.symbol)
        if price is None or self._now() - price > STALE_MAX:
            self.broken(f"{name} is sent on a price of {price}")
        if order.spends_quote:
            self._may_grow(daemon, order, name)

    def _sent_now(self, daemon: Daemon) -> list[str]:
        return [tracked.order.id for tracked in daemon.traders[0].parts.table if tracked.heard or tracked.sent_at is not None]

    def _may_grow(self, daemon: Daemon, order: Order, name: str) -> None:
        """While nobody knows how an order of its symbol ended, nothing is bought there."""
        for tracked in daemon.traders[0].parts.table:
            if tracked.order.symbol == order.symbol and tracked.state is State.UNKNOWN:
                self.broken(f"{name} is sent while {tracked.order.id} is unknown")
        for order_id, symbol in self._owed.items():
            booked = self.books.orders.get(order_id)
            if symbol == order.symbol and booked is not None and order_id not in self._shown and order_id != order.id:
                self.broken(f"{name} is sent, and nobody has seen what became of {order_id}, which the venue has booked")

    def _stands(self, order: Order) -> int:
        """On which side the account is that an order is for; what only reduces is always on the other."""
        return -order.side.sign if order.reduce_only else sign(self._held(order.symbol))

    def _held(self, symbol: str) -> Decimal:
        return self.books.balances.get(currencies(symbol)[0], ZERO)

    # --- what happens ------------------------------------------------------------------------------------------------

    def filled(self, booked: Booked, trade: Fill) -> None:
        """The venue has traded: is there more now than anybody wanted?"""
        self.note(f"TRADE {trade.trade_id} of {booked.id}: {trade.side} {trade.amount} {trade.symbol} at {trade.price}")
        sent = self._sent.get(booked.id)
        if sent is None or not sent.spends_quote or self.books.foreign_hands:
            return
        now = self._now()
        price, equity = self.books.prices.now(trade.symbol, now), self._equity(now)
        recent = [self._decisions[sent.decision_id]] if sent.decision_id in self._decisions else []
        recent += list(self._decisions.values())[-DECISIONS_KEPT:]
        wanted = max((trade.side.sign * decided.weights.get(trade.symbol, 0.0) for decided in recent), default=0.0)
        wanted = max(wanted, self._before(trade), trade.side.sign * self._raised.get((sent.decision_id, trade.symbol), 0.0))
        most = Decimal(repr(wanted)) * equity * BEYOND + self.books.markets[trade.symbol].amount_step * price
        worth = trade.side.sign * self._held(trade.symbol) * price
        if worth > most:
            self.broken(f"{booked.id} has brought {trade.symbol} to {worth:.2f}, of which {most:.2f} was wanted")

    def _before(self, trade: Fill) -> float:
        """How much a trade may bring back of what was there before, as a share of the equity."""
        return 0.0

    def _equity(self, now: datetime) -> Decimal:
        """What the account is worth."""
        return sum((self._worth(c, amount, now) for c, amount in self.books.balances.items()), ZERO)

    def _worth(self, currency: str, amount: Decimal, now: datetime) -> Decimal:
        symbol = f"{currency}/USDT"
        return amount * self.books.prices.now(symbol, now) if symbol in self.books.markets else amount

    def hear(self, event: e.Event) -> None:
        """An event, before anybody acts on it."""
        match event:
            case e.OrderClosed():
                self._closed(event)
            case e.TargetsChosen(decision=decision):
                self._decisions[decision.id] = decision
            case e.PlanMade(decision_id=decision_id, changed=changed):
                self._raised.update({(decision_id, symbol): weight for symbol, weight in changed.items()})
            case e.ParentBegun(parent=parent):
                self._parentage.begun(parent)
                self.counts[f"parents {parent.style}"] += 1
            case e.ParentEnded(reason=reason):
                self.counts[f"parent ended {reason}".strip()] += 1
            case e.StopRequested():
                self._stopping = True
            case e.OrderUnknown():
                self.counts["unknown"] += 1
            case e.OrderFilled(fill=fill):
                self._known(fill)
        self._look_for_twins(event)
        if not isinstance(event, QUIET):
            self.note(_text(event))

    def _look_for_twins(self, event: e.Event) -> None:
        match event:
            case e.OrderReported(report=report):
                self._not_alone((report,))
            case e.AccountPolled(snapshot=snapshot):
                self._not_alone(snapshot.open_orders)
            case e.HoldPlaced(hold=hold) if hold.code == OTHER_INSTANCE:
                self.counts["twins"] += 1
                if not self.twins:
                    self.broken(f"nobody else trades here: {hold.text}")
            case e.HoldLifted(code=code) if code == OTHER_INSTANCE:
                self._twin = ""

    def _not_alone(self, reports: Iterable[OrderReport]) -> None:
        """An order of another instance that is newer than this life, and than what a person has seen to, is enough to trade no more."""
        daemon = self._daemon
        since = daemon.traders[0].parts.reconciler.twins._since if daemon else None
        for report in reports:
            if report.order_id in self.twins and since and report.made_at and report.made_at - since >= MARGIN:
                self._twin = report.order_id

    def _known(self, fill: Fill) -> None:
        """A trade shows its order as well as a report does."""
        booked = self.books.by_number.get((fill.symbol, fill.venue_id))
        if booked is not None:
            self.shown(booked.id)

    def _closed(self, event: e.OrderClosed) -> None:
        """The daemon believes that an order has ended, and that it knows how."""
        booked = self.books.orders.get(event.order_id)
        self._owed.pop(event.order_id, None)
        self.counts[f"closed {event.state} {event.reason}".strip()] += 1
        if booked is None:
            if event.filled:
                self.broken(f"{event.order_id} is closed as filled {event.filled}, and the venue never had it")
            return
        # One that ended at once with nothing and is denied by every look-up might as well never have been. One that hangs, unfilled, and
        # only reduces a swap locks nothing: where every look-up denies it, nothing shows it.
        sent = self._sent.get(booked.id)
        hangs = booked.status is Status.OPEN and not booked.filled and sent is not None and sent.reduce_only
        if event.state == State.REJECTED and hangs:
            return
        if event.state == State.REJECTED and (booked.status is Status.OPEN or booked.filled):
            self.broken(f"{event.order_id} is closed as {event.state} ({event.reason}), and the venue has it {booked.status}")
        elif booked.status is Status.OPEN:
            self.broken(f"{event.order_id} is closed as {event.state}, and the venue has it open")
        elif booked.filled != event.filled:
            self.broken(f"{event.order_id} is closed with {event.filled}, and the venue has filled {booked.filled}")

    # --- the end -----------------------------------------------------------------------------------------------------

    def judge(self, record: Recovered, intents: Mapping[str, Order]) -> None:
        """All is calm again: the record and the venue's books must agree."""
        for problem in self.books.audit():
            self.broken(f"the venue's own books do not add up: {problem}")
        for order_id, times in self.books.arrivals.items():
            if times > 1:
                self.broken(f"{order_id} arrived {times} times")
            if order_id not in intents:
                self.broken(f"{order_id} arrived without an intent")
        self._same_trades(record)
        self._same_money(record)

    def _same_trades(self, record: Recovered) -> None:
        theirs = {(t.symbol, t.trade_id): t for t in self.books.trades}
        ours: dict[tuple[str, str], Fill] = {}
        for fill in record.fills:
            key = (fill.symbol, fill.trade_id)
            if key in ours:
                self.broken(f"trade {key} is in the journal twice")
            ours[key] = fill
            there = theirs.get(key)
            if there is None or (there.side, there.amount, there.price, there.cost, there.fees, there.realised) != (
                fill.side,
                fill.amount,
                fill.price,
                fill.cost,
                fill.fees,
                fill.realised,
            ):
                self.broken(f"trade {key} of the journal is not the venue's: {fill} / {there}")
        for key, trade in theirs.items():
            booked = self.books.orders.get(trade.order_id)
            if booked is not None and booked.id in self._sent and key not in ours:
                self.broken(f"trade {key} of {booked.id} is not in the journal")

    def _same_money(self, record: Recovered) -> None:
        opened_at = next((flow.at for flow in record.flows if flow.kind == "opening"), self._now())
        held: dict[str, Decimal] = {}
        for flow in (flow for flow in record.flows if flow.kind != POSITION):
            held[flow.currency] = held.get(flow.currency, ZERO) + flow.amount
        # A trade of the owner's hand from before the opening balance is in that balance.
        for fill in (fill for fill in record.fills if fill.order_id in self._sent or fill.at > opened_at):
            base, quote = currencies(fill.symbol)
            held[base] = held.get(base, ZERO) + fill.side.sign * fill.amount
            held[quote] = held.get(quote, ZERO) + self._brings(fill)
            for fee in fill.fees:
                held[fee.currency] = held.get(fee.currency, ZERO) - fee.amount
        for currency, amount in self.books.balances.items():
            if held.get(currency, ZERO) != amount:
                self.broken(f"the journal holds {held.get(currency, ZERO)} {currency}, the venue {amount}")
        shown = {flow.currency for flow in record.flows if flow.kind == "opening" and flow.amount}
        told = [flow for flow in record.flows if flow.kind not in EXPECTED and not self._lagged(flow, record.fills, opened_at)]
        corrections = [flow for flow in told if not (self._overlooked(flow) and flow.currency not in shown)]
        if corrections and not self.books.foreign_hands:
            self.broken(f"nobody else was in the account, and these flows were booked: {corrections}")

    def _brings(self, fill: Fill) -> Decimal:
        """What a trade has brought of its quote, fees aside."""
        return -fill.side.sign * fill.cost if fill.realised is None else fill.realised

    def _lagged(self, flow: Flow, fills: Iterable[Fill], opened_at: datetime) -> bool:
        """Whether the account was opened by polls that did not show yet what the venue itself had traded: that is put right later."""
        before = [fill for fill in fills if fill.order_id not in self._sent and fill.at <= opened_at]
        return any(currencies(fill.symbol)[0] == flow.currency and fill.side.sign * fill.amount == flow.amount for fill in before)

    def _overlooked(self, flow: Flow) -> bool:
        """Whether no poll had shown it when the account was opened; nobody can know of it before a later one does."""
        return flow.amount == self.books.opening[flow.currency]


def _short(line: str) -> str:
    """For people: moments of the day, and names without their types."""
    line = re.sub(r"datetime\.datetime\(\d+, \d+, \d+, (\d+), (\d+)(?:, (\d+))?(?:, (\d+))?, tzinfo=[^)]*\)", _moment, line)
    line = re.sub(r"<[A-Za-z.]+: '([a-z_0-9]+)'>", r"\1", line)
    return re.sub(r"Decimal\('([^']*)'\)", r"\1", line)


def _moment(found: re.Match[str]) -> str:
    hour, minute, second, micros = (int(part or 0) for part in found.groups())
    return f"{hour:02}:{minute:02}:{second + micros / 1e6:06.3f}"


def _text(event: e.Event) -> str:
    match event:
        case e.TargetsChosen(decision=decision) | e.WaveSettled(decision=decision) | e.SubmitOrders(decision=decision):
            more: Any = dict(decision.weights) if isinstance(event, e.TargetsChosen) else ""
            if isinstance(event, e.WaveSettled):
                more = (event.left, event.refused)
            return f"{type(event).__name__} {decision.id} {more}"
        case e.PlanMade():
            return f"PlanMade {event.decision_id} {event.attempt} {[o.id for o in event.orders]} {dict(event.left)}"
        case e.AccountPolled():
            return "AccountPolled " + " ".join(f"{c}={b.free}+{b.locked}" for c, b in sorted(event.snapshot.balances.items()))
        case e.KeepState():
            return "KeepState"
        case _:
            return repr(event)


def sign(amount: Decimal) -> int:
    """+1, -1 or 0."""
    return (amount > 0) - (amount < 0)


def level(daemon: Daemon) -> Level:
    """How far trading is restricted."""
    return daemon.traders[0].parts.manager.states.level()
