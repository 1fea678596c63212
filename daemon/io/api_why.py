"""Shapes of a story: what `/api/v1/why/SYMBOL` answers. Its rule is that of `api_shapes`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, NotRequired, TypedDict

from daemon.io.api_shapes import FeeRow


class SignalRow(TypedDict):
    """A number that the strategy went by."""

    of: Annotated[str, "a symbol, a pair, a sector, or * for all"]
    name: str
    value: float | None
    rank: NotRequired[Annotated[int, "1 is the highest"]]
    of_how_many: NotRequired[int]


class WishRow(TypedDict):
    """What one strategy wanted."""

    name: str
    share: float | None
    weight: float
    crossed: Annotated[Decimal, "base units that it got of other strategies, or gave"]
    kept: bool
    note: str
    signals: Sequence[SignalRow]


class LimitRow(TypedDict):
    """A limit that has cut its weight."""

    reason: str
    says: str
    wanted: float | None
    allowed: float | None
    found: float | None
    most: float | None
    at: datetime
    group: NotRequired[str]
    together: NotRequired[Sequence[str]]
    correlation: NotRequired[float | None]


class OrderLimitRow(TypedDict):
    """A limit that has cut, or refused, an order."""

    reason: str
    says: str
    side: str
    wanted: Decimal
    allowed: Decimal
    found: float | None
    most: float | None
    at: datetime


class PlanRow(TypedDict):
    """One round of planning."""

    attempt: int
    at: datetime
    orders: Sequence[str]
    waited: Annotated[Sequence[str], "those that first waited for money"]
    left: str | None
    target: float | None
    needs_equity: Decimal | None
    funding: Annotated[Decimal | None, "what the target was expected to pay at the next settlement of a swap, below 0: be paid"]
    inputs: str


class CrossRow(TypedDict):
    """What met inside, strategy against strategy."""

    at: datetime
    amount: Decimal
    price: Decimal
    amounts: Annotated[Mapping[str, Decimal], "by strategy, what it got (above 0) or gave"]


class GroupFact(TypedDict):
    """What was said of a group's legs."""

    at: datetime
    phase: str
    apart: Annotated[Decimal, "worth of what stands without its counterpart"]
    behind: Sequence[str]


class GroupRow(TypedDict):
    """The legs that it belongs to."""

    symbols: Sequence[str]
    facts: Sequence[GroupFact]


class FactRow(TypedDict):
    """What became known of an order."""

    at: datetime
    what: str
    text: str


class TradeRow(TypedDict):
    """A trade of an order."""

    id: str
    at: datetime
    amount: Decimal
    price: Decimal
    fees: Sequence[FeeRow]


# `for` is a word of the language.
_For = TypedDict("_For", {"for": Annotated[Mapping[str, Decimal], "by strategy, its part"]})


class StoryOrder(_For):
    """An order with everything that became of it."""

    id: str
    side: str
    amount: Decimal
    price: Decimal
    limit: Decimal | None
    attempt: int
    at: datetime
    state: str | None
    reason: str
    filled: Decimal
    average: Decimal | None
    cost: Decimal
    facts: Sequence[FactRow]
    fills: Sequence[TradeRow]


class SettledRow(TypedDict):
    """Where the wave has left it."""

    at: datetime
    equity: Decimal
    holding: float | None
    off_target: float | None
    refused: str | None


class NowRow(TypedDict):
    """The holding at this moment."""

    symbol: str
    amount: Decimal
    price: Decimal | None
    value: Decimal | None
    weight: float | None
    target: float | None
    account: str
    hold: str | None
    outside: str | None
    hold_says: NotRequired[str]
    outside_says: NotRequired[str]


class ApartRow(TypedDict):
    """What of a coin is counted and not traded."""

    amount: Decimal
    strategy: Annotated[str | None, "the removed strategy that has left it; null: nobody knows where it came from"]
    since: datetime | None
    reason: Annotated[str, "removed_strategy or ringfenced"]
    says: str


class Story(TypedDict):
    """What a decision meant for a symbol, and what came of it; without a decision, its first fields only."""

    account: NotRequired[str]
    symbol: str
    decision_id: str | None
    summary: Annotated[str, "all of it in one sentence"]
    kept_apart: Sequence[ApartRow]
    now: NowRow | None
    disabled: Mapping[str, str]
    restricted: Mapping[str, str]
    as_of: NotRequired[datetime]
    decided_at: NotRequired[datetime]
    cause: NotRequired[str]
    exits_until: NotRequired[datetime | None]
    in_universe: NotRequired[bool]
    strategies: NotRequired[Sequence[WishRow]]
    wanted: NotRequired[float]
    kept: NotRequired[bool]
    limits: NotRequired[Sequence[LimitRow]]
    order_limits: NotRequired[Sequence[OrderLimitRow]]
    target: NotRequired[float]
    plans: NotRequired[Sequence[PlanRow]]
    crossed: NotRequired[Sequence[CrossRow]]
    group: NotRequired[GroupRow | None]
    left: NotRequired[str | None]
    left_says: NotRequired[str | None]
    orders: NotRequired[Sequence[StoryOrder]]
    settled: NotRequired[SettledRow | None]
