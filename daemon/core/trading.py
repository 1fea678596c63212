"""Trading: how far the daemon has come, and the plain values that sending orders depends on.

Rule: values only; the order manager decides.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from daemon.core import risk
from daemon.core.model import Order
from daemon.core.planner_inputs import Rules
from daemon.core.resolver import Patience
from daemon.core.risk_orders import OrderLimits
from daemon.core.styles import GroupTerms, Terms


class Trading(StrEnum):
    """How far the daemon has come; within RUNNING, core.states says what may be traded."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Plain values of the configuration that orders depend on.

    `fresh`: a price older than this moves no money. `rounds`: how often a wave plans again after an order ended short. `retry`: half the
    wait before it does so when the venue could not be reached or was busy, or had too little within the limit, doubled each time up to
    `retry_max`. `held_up`: an order that
    has not settled for this long no longer holds its wave (it stays tracked and reserved). `working`: an open order older than this is
    cancelled; below `held_up`, so that a wave sees the cancel's outcome. `off_target`: a holding further than this from its
    target, in weights of equity, is acted on between due times; None: it is not. `cooldown`: for so long after a rebalance nothing but
    exits is traded. `price_cap`: orders are limits so far from their reference price (a fraction); None: market orders. `terms`: orders
    are worked on over time by these; None: each is sent at once, whole. `shadow`: everything is planned, and nothing is sent. `approve`: so
    many waves wait for a person's word, each for `approve_within`. `keep_open`: a stop leaves open orders as they are, instead of
    cancelling them. `groups`: how far legs that belong together may be apart.
    """

    instance: str
    quote: str
    limits: risk.Limits = field(default_factory=risk.Limits)
    order_limits: OrderLimits = field(default_factory=OrderLimits)
    rules: Rules = field(default_factory=Rules)
    patience: Patience = field(default_factory=Patience)
    fresh: timedelta = timedelta(seconds=15)
    rounds: int = 3
    retry: timedelta = timedelta(seconds=2.5)
    retry_max: timedelta = timedelta(seconds=60)
    held_up: timedelta = timedelta(seconds=90)
    working: timedelta = timedelta(seconds=60)
    off_target: float | None = None
    cooldown: timedelta = timedelta(0)
    price_cap: Decimal | None = None
    terms: Terms | None = None
    groups: GroupTerms = field(default_factory=GroupTerms)
    shadow: bool = False
    approve: int = 0
    approve_within: timedelta = timedelta(hours=1)
    keep_open: bool = False

    def working_for(self, order: Order) -> timedelta:
        """How long an order may be open before it is cancelled, whoever forgot to: one that rests, as long as its parent is worked on."""
        rests = self.terms.lasts if order.post_only and self.terms is not None else timedelta(0)
        return self.working + rests

    def held_up_by(self, order: Order) -> timedelta:
        """How long an order that has not settled holds its wave."""
        return self.working_for(order) + self.held_up - self.working
