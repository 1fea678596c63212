"""Mutants of the safety core: lines broken on purpose, each of which some test must notice.

Rule: a mutant changes what the program does, never only how it says it; it names the tests that are asked, the nearest first.
"""

from dataclasses import dataclass
from typing import Final

TABLE: Final = "daemon/core/ordertable.py"
RESOLVER: Final = "daemon/core/resolver.py"
RECONCILER: Final = "daemon/core/reconciler.py"
STATES: Final = "daemon/core/states.py"
ORDERS: Final = "daemon/core/orders.py"
GATEWAY: Final = "daemon/io/gateway.py"
RATEGATE: Final = "daemon/io/rategate.py"

STORIES: Final = "tests/core/test_stories.py"
ASKED: Final = {
    TABLE: (
        "tests/core/test_ordertable.py",
        "tests/core/test_orders.py",
        "tests/core/test_given_up.py",
        "tests/core/test_resolver.py",
        STORIES,
    ),
    RESOLVER: ("tests/core/test_resolver.py", "tests/core/test_orders.py", "tests/core/test_given_up.py", STORIES),
    RECONCILER: ("tests/core/test_reconciler.py", "tests/test_rebasing.py", STORIES),
    STATES: ("tests/core/test_states.py", "tests/core/test_orders.py"),
    ORDERS: ("tests/core/test_states.py", "tests/core/test_orders.py", "tests/core/test_awoken.py", "tests/core/test_approval.py", STORIES),
    GATEWAY: ("tests/io/test_gateway.py",),
    RATEGATE: ("tests/io/test_rategate.py",),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one place."""

    path: str
    original: str
    changed: str


MUTANTS: Final = (
    # the order table
    Mutant(TABLE, "(State.NEW, Saw.AMBIGUITY): State.UNKNOWN,", "(State.NEW, Saw.AMBIGUITY): State.REJECTED,"),
    Mutant(TABLE, "(State.SENT, Saw.AMBIGUITY): State.UNKNOWN,", "(State.SENT, Saw.AMBIGUITY): State.REJECTED,"),
    Mutant(TABLE, "(State.SENT, Saw.NOT_SENT): State.NEW,", "(State.SENT, Saw.NOT_SENT): State.SENT,"),
    Mutant(TABLE, "(State.PARTIAL, Saw.OPEN): State.PARTIAL,", "(State.PARTIAL, Saw.OPEN): State.ACKED,"),
    Mutant(TABLE, "(State.CANCEL_SENT, Saw.OPEN): State.CANCEL_SENT,", "(State.CANCEL_SENT, Saw.OPEN): State.ACKED,"),
    Mutant(TABLE, "(State.CANCELED, Saw.FULL): State.FILLED,", "(State.CANCELED, Saw.FULL): State.CANCELED,"),
    Mutant(
        TABLE,
        "for state in (State.REJECTED, State.DENIED) for saw, to in _REPORTED.items()",
        "for state in (State.DENIED,) for saw, to in _REPORTED.items()",
    ),
    Mutant(TABLE, "return max(self.reported, self.booked)", "return self.reported + self.booked"),
    Mutant(TABLE, "return max(ZERO, self.reported - self.booked)", "return ZERO"),
    Mutant(
        TABLE,
        "return ZERO if self.ended else max(ZERO, self.order.amount - self.filled)",
        "return ZERO if self.ended else self.order.amount",
    ),
    Mutant(TABLE, "outstanding = self.remaining + self.unbooked", "outstanding = self.remaining"),
    Mutant(TABLE, "return self.ended and self.unbooked == 0", "return self.ended"),
    Mutant(TABLE, "if filled > self.reported:", "if filled != self.reported:"),
    Mutant(TABLE, "if fill.trade_id in self.trades:", "if False:"),
    Mutant(TABLE, "if self.booked >= self.order.amount else Saw.PART", "if self.booked > self.order.amount else Saw.PART"),
    Mutant(TABLE, "        self.heard = True\n        self.absences = []", "        self.heard = True"),
    Mutant(TABLE, "if order.id in self._open or order.id in self._closed:", "if order.id in self._open:"),
    Mutant(TABLE, "            del self._strays[(stray.symbol, stray.trade_id)]\n", ""),
    # the rule of absence
    Mutant(RESOLVER, "        if event.asked_at < fence:\n            return False\n", ""),
    Mutant(RESOLVER, "event.asked_at - seen[-1] >= p.spacing:", "True:"),
    Mutant(RESOLVER, "return len(seen) >= p.lookups and", "return len(seen) >= p.lookups - 1 and"),
    Mutant(RESOLVER, "and self._consistent(tracked, fence) and", "and"),
    Mutant(RESOLVER, " and not self._may_have_traded(tracked)", ""),
    Mutant(RESOLVER, "if self._read_at is None or self._read_at < fence or", "if self._read_at is None or"),
    Mutant(RESOLVER, " or self._differences.get(currencies(tracked.order.symbol)[0]):", ":"),
    Mutant(RESOLVER, "and not hinted and", "and"),
    Mutant(RESOLVER, " and (order.symbol, order.side) not in busy:", ":"),
    Mutant(RESOLVER, " and not may_lock(tracked, self._locked)", ""),
    Mutant(RESOLVER, "tracked.state is State.CANCEL_SENT and tracked.cancels >= p.cancels", "tracked.state is State.CANCEL_SENT"),
    Mutant(RESOLVER, "if not given_up and tracked.state is not State.UNKNOWN:", "if tracked.ended:"),
    Mutant(RESOLVER, "(tracked.doubted_at or order.at) + self._patience.fence", "order.at + self._patience.fence"),
    Mutant(RESOLVER, "amount - foreign.get(currency, ZERO)", "amount"),
    Mutant(RESOLVER, "return sign * differences.get(base, ZERO) > 0 or", "return"),
    Mutant(RESOLVER, "(shown or tracked.cancels < p.cancels) and", ""),
    Mutant(
        RESOLVER,
        "            if tracked.state is State.UNKNOWN and at >= self._fence(tracked):\n                yield PollAccount(at)\n",
        "",
    ),
    # the reconciler
    Mutant(RECONCILER, "if quiet or not differences:", "if True:"),
    Mutant(RECONCILER, "        if any(len(t.absences) < self._calm.lookups for t in self._table):\n            return False\n", ""),
    Mutant(RECONCILER, "if known is None or known.amount != amount:", "if known is None:"),
    Mutant(
        RECONCILER,
        "if snapshot.asked_at <= known.read_at or not self._believable(known, snapshot):",
        "if not self._believable(known, snapshot):",
    ),
    Mutant(
        RECONCILER,
        "if snapshot.asked_at <= known.read_at or not self._believable(known, snapshot):",
        "if snapshot.asked_at <= known.read_at:",
    ),
    Mutant(RECONCILER, " and not self._old(known, snapshot):", ":"),
    Mutant(RECONCILER, ">= self._stands(currency) and not self._in_doubt(currency)", ">= self._stands(currency)"),
    Mutant(RECONCILER, "return bool(held) and all(", "return False and all("),
    Mutant(RECONCILER, "if suspicion.asked and suspicion.asked <= frozenset(event.symbols):", "if True:"),
    Mutant(RECONCILER, "lost = [r for r in others if self.ours and r.order_id.startswith(self.ours)]", "lost = others"),
    Mutant(RECONCILER, "(self._agreed_at or suspicion.since) - self._calm.overlap", "suspicion.since"),
    Mutant(RECONCILER, "        if snapshot.asked_at - known.since < wait:\n            return\n", ""),
    Mutant(
        RECONCILER,
        "if self._ledger.opened and event.currency in self._managed and event.amount:",
        "if event.currency in self._managed and event.amount:",
    ),
    # the gate before the wire
    Mutant(STATES, "reduces = held_sign * side.sign < 0", "reduces = held_sign * side.sign <= 0"),
    Mutant(STATES, "return reduces and hold.level in (Level.REDUCING, Level.FLATTENING)", "return reduces"),
    Mutant(STATES, "for scope in (ACCOUNT, Scope(symbol=symbol)) if", "for scope in (ACCOUNT,) if"),
    Mutant(ORDERS, "if tracked is None or tracked.state not in (State.NEW, State.SENT):", "if tracked is None:"),
    Mutant(ORDERS, "if self.trading is not Trading.RUNNING or self._settings.shadow:", "if self._settings.shadow:"),
    Mutant(GATEWAY, "        if not self._may_send(order.id):", "        if False:"),
    Mutant(GATEWAY, "                await self._record.commit(request.decision, *request.parents, *request.orders)\n", ""),
    Mutant(GATEWAY, "        await self._record.commit(*facts)\n        for fact in facts:", "        for fact in facts:"),
    Mutant(GATEWAY, "case Refused(reason=Reason.DUPLICATE_ID):", "case Refused(reason=Reason.RATE_LIMITED):"),
    Mutant(
        GATEWAY, "            case _:\n                return OrderUnknown(", "            case _:\n                return OrderNotSent("
    ),
    Mutant(
        GATEWAY,
        "        except VenueError:\n            return  # a failed look-up says nothing; the",
        "        except VenueError:\n            report, trades = None, ()  # a failed look-up says nothing; the",
    ),
    Mutant(RATEGATE, "if until > self._silent_until:", "if True:"),
    Mutant(RATEGATE, "return max(self._silent_until - now, lane.window", "return max(0.0, lane.window"),
    Mutant(RATEGATE, "        if not MAY_LEAVE.get()():", "        if False:"),
    Mutant(RATEGATE, "        if self._shut:\n", "        if False:\n"),
)
