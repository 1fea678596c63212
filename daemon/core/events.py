"""Events: facts in the past tense, requests in the imperative. Their union is everything that travels on the bus.

Rule: an event is one immutable value and carries `at`, the moment it was known here (facts) or wanted (requests).
A fact about money (fills, flows, what is known of an order) is on disk before it is published: whoever handles it may rely on that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from daemon.core.away import AskStrategy as AskStrategy
from daemon.core.away import StrategyAnswered as StrategyAnswered
from daemon.core.away import StrategyDisabled as StrategyDisabled
from daemon.core.away import StrategyStarted as StrategyStarted
from daemon.core.cuts import CorrelationCalmed as CorrelationCalmed
from daemon.core.cuts import CorrelationHigh as CorrelationHigh
from daemon.core.cuts import OrderLimited as OrderLimited
from daemon.core.cuts import RiskLimited as RiskLimited
from daemon.core.cuts import RiskRefused as RiskRefused
from daemon.core.funding import FundingRate
from daemon.core.model import AccountSnapshot, Bar, Decision, Flow, Order, Slice
from daemon.core.orderfacts import OrderClosed as OrderClosed
from daemon.core.orderfacts import OrderFilled as OrderFilled
from daemon.core.orderfacts import OrderGivenUp as OrderGivenUp
from daemon.core.orderfacts import OrderNotFound as OrderNotFound
from daemon.core.orderfacts import OrderNotSent as OrderNotSent
from daemon.core.orderfacts import OrderRefused as OrderRefused
from daemon.core.orderfacts import OrderReported as OrderReported
from daemon.core.orderfacts import OrderSent as OrderSent
from daemon.core.orderfacts import OrderUnknown as OrderUnknown
from daemon.core.orderfacts import TradesListed as TradesListed
from daemon.core.planner_inputs import Inputs
from daemon.core.roll import SymbolWoundDown as SymbolWoundDown
from daemon.core.roll import UniverseChosen as UniverseChosen
from daemon.core.steering import ApprovalAsked as ApprovalAsked
from daemon.core.steering import ApprovalGiven as ApprovalGiven
from daemon.core.steering import ApprovalLapsed as ApprovalLapsed
from daemon.core.steering import Awoken as Awoken
from daemon.core.steering import BookSleeves as BookSleeves
from daemon.core.steering import ClockMeasured as ClockMeasured
from daemon.core.steering import HoldLifted as HoldLifted
from daemon.core.steering import HoldPlaced as HoldPlaced
from daemon.core.steering import HoldWritten as HoldWritten
from daemon.core.steering import KeepState as KeepState
from daemon.core.steering import LoopLagged as LoopLagged
from daemon.core.steering import MarginLow as MarginLow
from daemon.core.steering import MarginRestored as MarginRestored
from daemon.core.steering import MarketsListed as MarketsListed
from daemon.core.steering import MeasureClock as MeasureClock
from daemon.core.steering import OrderRecalled as OrderRecalled
from daemon.core.steering import ReadMarkets as ReadMarkets
from daemon.core.steering import ReadSettings as ReadSettings
from daemon.core.steering import RebalanceRequested as RebalanceRequested
from daemon.core.steering import RecallOrder as RecallOrder
from daemon.core.steering import SleevesBooked as SleevesBooked
from daemon.core.steering import StopRequested as StopRequested
from daemon.core.steering import TradingStarted as TradingStarted
from daemon.core.styles import GroupJudged as GroupJudged
from daemon.core.styles import Parent
from daemon.core.styles import ParentBegun as ParentBegun
from daemon.core.styles import ParentEnded as ParentEnded
from daemon.core.styles import ReadTouch as ReadTouch
from daemon.core.styles import TouchRead as TouchRead

# --- market data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BarClosed:
    """A symbol's bar is final. Per symbol these come once each, in order of time."""

    bar: Bar
    at: datetime


@dataclass(frozen=True, slots=True)
class PriceTicked:
    """The last price of a symbol (quote per base), between bar closes. Conflated: only the newest matters."""

    symbol: str
    price: float
    at: datetime


@dataclass(frozen=True, slots=True)
class MarkTicked:
    """The venue's mark price of a swap (quote per base): what its positions are worth and liquidated by, whatever was last traded."""

    symbol: str
    price: float
    at: datetime


@dataclass(frozen=True, slots=True)
class FundingTold:
    """The venue expects another funding rate of a swap than before."""

    symbol: str
    funding: FundingRate
    at: datetime


@dataclass(frozen=True, slots=True)
class MarksLost:
    """Positions of these swaps are valued at last prices, since the venue's mark prices are missing or old; told when it begins."""

    symbols: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class MarksBack:
    """All positions of swaps are valued at mark prices again."""

    at: datetime


@dataclass(frozen=True, slots=True)
class StreamLost:
    """A symbol's bars may be missing from now on: its stream is silent, broken or just being opened."""

    symbol: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StreamCaughtUp:
    """A symbol's bars are complete again: what was missing has been published."""

    symbol: str
    filled: int
    at: datetime


@dataclass(frozen=True, slots=True)
class SliceClosed:
    """The cross-section of one close time, emitted once, in order."""

    slice: Slice
    at: datetime


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The clock, as an event: deadlines are judged against `at` and nothing else."""

    at: datetime


# --- decisions and waves ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TargetsChosen:
    """The strategies' answer at a due slice."""

    decision: Decision
    at: datetime


@dataclass(frozen=True, slots=True)
class TargetsUnchanged:
    """A slice that could carry a decision, and nobody was due: what was wanted before is wanted still, as of this slice.

    `decision` becomes a TargetsChosen only if the account has to act between due times.
    """

    decision: Decision
    at: datetime


@dataclass(frozen=True, slots=True)
class PlanWave:
    """Work towards the newest decision, if there is one and nothing is under way."""

    at: datetime


@dataclass(frozen=True, slots=True)
class PlanMade:
    """What a plan sends and what it leaves, with the reason by symbol (stable codes of planner_legs.Reason).

    `changed` holds the targets that were planned for other than wanted, so that the account can hold them; `needs` the equity at which a
    target that is too small would be large enough. `inputs` is all that the plan follows from: planning them again gives it again. `worked`
    is what will be traded over time instead of by an order now: signed base units by symbol. `funding` is what the targets are expected to
    pay (above 0) or be paid at the next settlement of their swaps, in the account's currency, where a rate is known.
    """

    decision_id: str
    attempt: int
    orders: tuple[Order, ...]
    left: Mapping[str, str]
    at: datetime
    changed: Mapping[str, float] = field(default_factory=dict)
    needs: Mapping[str, Decimal] = field(default_factory=dict)
    inputs: Inputs | None = None
    worked: Mapping[str, Decimal] = field(default_factory=dict)
    funding: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaveSettled:
    """A decision has been worked off: the canonical line of a rebalance.

    `targets` are the decision's weights after every limit; `sent` and `filled` count orders; `refused` and `left` name a reason by symbol;
    `off_target` is holding minus target, in weight; `cost_bps` is what the fills cost against the reference price, fees included, of what
    was traded; `took_ms` runs from the decision. `cost_parts` are its parts, in basis points: `fee`, and `spread` from the reference
    price to the price paid; beside them `delay`, from the decision's close to the reference price, where that close is known, and `timing`,
    from the reference price of the plan to that of the child, where orders were worked on. `maker_ratio` is the share of what was traded
    that orders resting in the book traded. `stages` is what the edges have measured: how far the wave was after how many ms, by stage.
    """

    decision: Decision
    targets: Mapping[str, float]
    equity: Decimal
    sent: int
    filled: int
    refused: Mapping[str, str]
    left: Mapping[str, str]
    off_target: Mapping[str, float]
    cost_bps: float
    took_ms: int
    at: datetime
    cost_parts: Mapping[str, float] = field(default_factory=dict)
    maker_ratio: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EquityMarked:
    """What the account is worth at a close, for its history.

    Money in the numeraire, exact: `equity`, `cash` (of quote currencies; of swaps the wallet), `contributed` (paid in less paid out).
    `gross` and `net` are sums of weights; `value` is the worth of a unit (time-weighted, 1 at the beginning), `drawdown` how far it is
    below its highest.
    """

    equity: Decimal
    cash: Decimal
    contributed: Decimal
    gross: float
    net: float
    value: float
    drawdown: float
    at: datetime


# --- requests to the edges -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubmitOrders:
    """Write the intents (with the decision they serve and the parents they begin) to the journal in one transaction, then send them."""

    decision: Decision
    orders: tuple[Order, ...]
    at: datetime
    parents: tuple[Parent, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Ask the venue to cancel an order of ours, made at `since`, and then what became of it."""

    order_id: str
    symbol: str
    since: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class QueryOrder:
    """Ask the venue, by every way it offers, what became of an order of ours."""

    order_id: str
    symbol: str
    since: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class QueryTrades:
    """Ask the venue for the account's trades in these symbols since a moment."""

    symbols: tuple[str, ...]
    since: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class PollAccount:
    """Poll balances and open orders now instead of at the next turn."""

    at: datetime


@dataclass(frozen=True, slots=True)
class BookFlows:
    """Write flows to the journal in one transaction; each counts once `FlowBooked` says so."""

    flows: tuple[Flow, ...]
    at: datetime


# --- the account -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountPolled:
    """Balances and open orders, as one successful poll saw them."""

    snapshot: AccountSnapshot
    at: datetime


@dataclass(frozen=True, slots=True)
class ForeignOrdersSeen:
    """The open orders of other hands in this account have changed: their number by symbol. They are not touched."""

    orders: Mapping[str, int]
    at: datetime


@dataclass(frozen=True, slots=True)
class PollFailed:
    """The account could not be read. Nothing is concluded from it: absence is not zero."""

    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BalanceMoved:
    """The user stream says that a balance changed without a trade (deposit, withdrawal, transfer). `amount` is signed."""

    currency: str
    amount: Decimal
    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FlowBooked:
    """A flow is in the journal and counts."""

    flow: Flow
    at: datetime


@dataclass(frozen=True, slots=True)
class AccountReconciled:
    """Ledger and account were compared. `differences` is account minus ledger, by currency, where it is not 0.

    `asked_at`: when the poll began. On an account that was not `quiet` a difference means nothing; agreement always does. `locked` is
    what stands in open orders, by currency. `held`: the currencies whose difference has been told as drift and stands until an order in
    doubt that may have made it is known: with those, nothing else need wait for agreement.
    """

    differences: Mapping[str, Decimal]
    asked_at: datetime
    at: datetime
    quiet: bool = True
    locked: Mapping[str, Decimal] = field(default_factory=dict)
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DriftFound:
    """A difference that no trade or flow explains. Its symbols only reduce until it is gone.

    `order_id`: the order in doubt whose trade it may be, if there is one.
    """

    currency: str
    amount: Decimal
    at: datetime
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class DriftCleared:
    """A difference is gone or explained."""

    currency: str
    at: datetime


_Market = (
    BarClosed | PriceTicked | MarkTicked | FundingTold | MarksLost | MarksBack | StreamLost | StreamCaughtUp | SliceClosed | TimePassed
)
_Roll = UniverseChosen | SymbolWoundDown
_Away = AskStrategy | StrategyStarted | StrategyAnswered | StrategyDisabled
_Deciding = TargetsChosen | TargetsUnchanged | PlanWave | PlanMade | WaveSettled
_Limit = RiskLimited | OrderLimited | RiskRefused | CorrelationHigh | CorrelationCalmed
_Request = (
    SubmitOrders | CancelOrder | QueryOrder | QueryTrades | PollAccount | BookFlows | BookSleeves | KeepState | MeasureClock | ReadTouch
)
_Order = (
    OrderSent
    | OrderReported
    | OrderRefused
    | OrderNotSent
    | OrderUnknown
    | OrderNotFound
    | OrderGivenUp
    | OrderClosed
    | OrderFilled
    | TradesListed
)
_Worked = GroupJudged | ParentBegun | ParentEnded | TouchRead
_Reading = ReadMarkets | ReadSettings | RecallOrder | OrderRecalled
_Poll = AccountPolled | ForeignOrdersSeen | PollFailed | BalanceMoved | MarketsListed
_Account = FlowBooked | SleevesBooked | AccountReconciled | DriftFound | DriftCleared | MarginLow | MarginRestored | EquityMarked
_Trading = TradingStarted | Awoken | ClockMeasured | LoopLagged | HoldPlaced | HoldLifted | HoldWritten | StopRequested
_Person = RebalanceRequested | ApprovalAsked | ApprovalGiven | ApprovalLapsed
Event = _Market | _Roll | _Away | _Deciding | _Limit | _Request | _Reading | _Order | _Worked | _Poll | _Account | _Trading | _Person
