"""Shapes: what the API answers, field by field, as types that a document is made of.

Rule: a shape says what is really answered; every answer that a test of the whole daemon reads is checked against it. A field that may be
null says so in its type, one that is not always there is NotRequired, and what is told of several accounts only says whose it is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, NotRequired, TypedDict

from daemon.core.analyzer_report import Analysis

Account = Annotated[str, "whose it is, where there are several accounts"]
Weight = Annotated[float, "a share of the equity; below 0 it is short"]
Weights = Annotated[Mapping[str, float], "by symbol, as shares"]
Amounts = Annotated[Mapping[str, Decimal], "by currency"]
Words = Annotated[Mapping[str, str], "by name, why"]
DecisionId = Annotated[str, "joins it with its decision, and with lines of the log"]


class Problem(TypedDict):
    """What is answered instead, with any status of 400 and above."""

    error: Annotated[str, "one sentence for a person"]


class Health(TypedDict):
    """The loop turns."""

    ok: bool


class Readiness(TypedDict):
    """Whether it may trade just now."""

    ready: bool
    failing: Annotated[Sequence[str], "the checks that fail, a sentence each"]


class Done(TypedDict):
    """What a command has done, and how trading stands after it."""

    done: Annotated[str, "a sentence; of each account where there are several"]
    state: str
    reason: str


class HoldRow(TypedDict):
    """What restricts trading."""

    account: NotRequired[Account]
    scope: Annotated[str, "the account, a strategy or a symbol"]
    level: Annotated[str, "reducing, paused, flattening or halted"]
    code: Annotated[str, "a stable word for the cause"]
    text: Annotated[str, "a sentence"]
    since: datetime
    by: Annotated[str, "who has placed it; empty: the daemon itself"]
    until: Annotated[datetime | None, "null: only its cause or a person ends it"]


# `return` is a word of the language.
_Made = TypedDict("_Made", {"return": Annotated[float | None, "by the worth of a unit, since the journal began"]})


class StrategyRow(_Made):
    """A strategy: what it has, has made, and may do; `unassigned` is what nobody has."""

    account: NotRequired[Account]
    name: str
    share: Annotated[float | None, "of the capital"]
    equity: Decimal | None
    pnl: Decimal | None
    drawdown: float | None
    state: Annotated[str | None, "running, reducing, paused, flattening, halted, disabled or removed"]
    reason: str


class WaveCosts(TypedDict, total=False):
    """Parts of a wave's cost, in basis points of what was traded."""

    fee: float
    spread: Annotated[float, "from the reference price to the price paid"]
    delay: Annotated[float, "from the decision's close to the reference price"]
    timing: Annotated[float, "from the plan's reference price to the child's, where orders were worked on"]


class WaveStages(TypedDict, total=False):
    """How far a wave was after how many milliseconds, counted from the last bar of its slice, or from its decision where no bar was due."""

    received: Annotated[float, "the last bar of the slice has come in: 0"]
    slice: Annotated[float, "the slice is complete"]
    decided: float
    planned: float
    journalled: Annotated[float, "the intents are on disk"]
    first_byte: Annotated[float, "the first order is being written to the exchange; not in mode paper"]
    acknowledged: Annotated[float, "the last order sent has its first answer"]
    settled: float


class WaveRow(TypedDict):
    """A decision that has been worked off."""

    decision_id: DecisionId
    as_of: datetime
    targets: Annotated[Mapping[str, float], "weights after every limit"]
    equity: Decimal
    sent: Annotated[int, "orders"]
    filled: Annotated[int, "orders"]
    refused: Annotated[Mapping[str, str], "by symbol, the reason's code"]
    left: Annotated[Mapping[str, str], "by symbol, the code of why it was left alone"]
    off_target: Annotated[Mapping[str, float | None], "holding minus target"]
    cost_bps: Annotated[float | None, "fees included"]
    cost_parts: WaveCosts
    maker_ratio: float | None
    took_ms: int
    stages: WaveStages
    at: datetime


class UniverseRow(TypedDict, total=False):
    """Who is traded, where that changes by itself; else nothing."""

    as_of: datetime | None
    symbols: Sequence[str]
    leaving: Annotated[Mapping[str, datetime], "still to be sold, since when"]
    rest: Annotated[Mapping[str, str], "of which something could not be sold, and why"]


class Status(TypedDict):
    """The state in one mapping; of several accounts the sums, with each account's own below `accounts`."""

    name: Annotated[str, "the instance"]
    mode: Annotated[str, "paper, sandbox, shadow or live"]
    exchange: str
    state: Annotated[str, "starting, running, paused, reducing, halted, flattening or stopping"]
    reason: str
    ready: NotRequired[bool]
    failing: NotRequired[Sequence[str]]
    holds: Sequence[HoldRow]
    quote: Annotated[str, "the currency of all money here"]
    equity: Decimal | None
    equity_at: NotRequired[Annotated[datetime | None, "since when the oldest part of the sum is known"]]
    cash: Decimal | None
    positions: Annotated[int | None, "how many"]
    gross: Annotated[float | None, "the sum of the sizes of all weights"]
    net: Annotated[float | None, "the sum of all weights"]
    drawdown: float | None
    open_orders: Annotated[int | None, "how many"]
    unknown_orders: Annotated[int | None, "of which nobody knows what became"]
    last_slice: datetime | None
    last_decision: datetime | None
    last_reconcile: datetime | None
    drift: Annotated[float | None, "the largest unexplained difference between ledger and account, as a share of the equity"]
    ringfenced: NotRequired[Annotated[Mapping[str, Decimal] | None, "by currency, what is left alone"]]
    foreign_locked: NotRequired[Annotated[Mapping[str, Decimal] | None, "by currency, what stands in orders of other hands"]]
    kept_apart: NotRequired[Annotated[Mapping[str, Decimal] | None, "by currency, what is counted and not traded"]]
    unmarked: NotRequired[Annotated[Sequence[str] | None, "swaps whose mark price is missing"]]
    unknown: NotRequired[Annotated[Sequence[str], "accounts whose equity nobody knows"]]
    uptime_s: float
    version: str
    bars: NotRequired[Annotated[str | None, "how bars come: stream or poll"]]
    user_stream: NotRequired[Annotated[str | None, "how news of orders comes"]]
    loop_lag_max_ms: NotRequired[int]
    last_wave: NotRequired[WaveRow | None]
    disabled: Annotated[Mapping[str, str], "strategies that are asked no more, and why"]
    limited: NotRequired[Annotated[Mapping[str, Sequence[str]], "by limit, the symbols that it cuts"]]
    universe: NotRequired[UniverseRow]
    strategies: Sequence[StrategyRow]
    account: NotRequired[Account]
    worth: NotRequired[Annotated[Decimal | None, "when it was last known"]]
    worth_at: NotRequired[datetime | None]
    accounts: NotRequired[Sequence["Status"]]


class PositionRow(TypedDict):
    """A holding: of a symbol, or the cash of a currency."""

    symbol: str
    amount: Annotated[Decimal, "base units; below 0 it is short"]
    price: Decimal | None
    value: Decimal | None
    weight: float | None
    target: Annotated[float | None, "the weight that is wanted"]
    account: str
    hold: Annotated[str | None, "the code of what restricts it"]
    outside: Annotated[str | None, "the code of why it is not in the universe"]
    strategies: Annotated[Mapping[str, Decimal], "by strategy, how much of it"]


class TargetRow(TypedDict):
    """What the newest decision wants of a symbol."""

    account: NotRequired[Account]
    symbol: str
    weight: Annotated[float, "a share of the capital"]
    strategies: Annotated[Mapping[str, float], "by strategy, of its own capital"]
    as_of: datetime
    disabled: Words
    restricted: Words
    hold: str | None


class OrderRow(TypedDict):
    """An order."""

    account: NotRequired[Account]
    id: str
    symbol: str
    side: Annotated[str, "buy or sell"]
    amount: Annotated[Decimal, "base units"]
    filled: Decimal
    price: Annotated[Decimal, "what it was planned at"]
    limit: Annotated[Decimal | None, "the worst price it takes; null: any"]
    post_only: bool
    state: str
    reason: str
    decision_id: DecisionId
    at: datetime


class FeeRow(TypedDict):
    """A fee."""

    amount: Decimal
    currency: str


class FillRow(TypedDict):
    """A trade, with the order and the decision that it came of."""

    account: NotRequired[Account]
    id: str
    order_id: str
    symbol: str
    side: str
    amount: Decimal
    filled: Decimal
    price: Decimal
    fees: Sequence[FeeRow]
    state: str
    reason: str
    decision_id: Annotated[str | None, "null: no order of this journal"]
    at: datetime


class EquityRow(TypedDict):
    """What the account was worth at a close."""

    account: NotRequired[Account]
    equity: Decimal
    cash: Decimal
    contributed: Annotated[Decimal, "paid in less paid out"]
    gross: float | None
    net: float | None
    value: Annotated[float, "of a unit: 1 at the beginning, whatever was paid in or out on the way"]
    drawdown: float
    at: datetime


class DecisionRow(TypedDict):
    """What was wanted, by whom, and what came of it."""

    account: NotRequired[Account]
    id: str
    as_of: datetime
    cause: str
    targets: Weights
    strategies: Annotated[Mapping[str, Mapping[str, float]], "by strategy, its own weights"]
    wave: Annotated[WaveRow | None, "null: not worked off yet"]


class Analyses(TypedDict):
    """Each account's own: what moves together is measured where it is traded."""

    accounts: Mapping[str, Analysis]
