"""Routes: who hears what, in which order. This table is the architecture.

Rule: it knows what is joined by shape only (`Joined`), and loads none of it: the daemon and the backtest run on the same table.
"""

from collections.abc import Sequence
from typing import Any

from daemon.core import events as e
from daemon.core.bus import Handler
from daemon.parts import Joined


def routes(d: Joined) -> Sequence[tuple[type, Sequence[Handler[e.Event]]]]:
    """Who hears what, in which order. This table is the architecture; the backtest runs on it too."""
    p = d.parts
    ticking = p.analyzer.on_time, p.breakers.on_time, p.margin.on_time
    table: list[tuple[type, list[Any]]] = [
        # market data
        (e.BarClosed, [*d.paper_on(e.BarClosed), d.aligner.on_bar]),
        (e.PriceTicked, [*d.paper_on(e.PriceTicked), p.account.on_tick, p.breakers.on_tick]),
        *_of_swaps(d),
        (e.StreamLost, [d.aligner.on_lost, p.breakers.on_lost]),
        (e.StreamCaughtUp, [d.aligner.on_caught_up, p.breakers.on_caught_up]),
        (
            e.SliceClosed,
            [
                *(*d.away_on(e.SliceClosed), p.account.on_slice, p.curves.on_slice, p.breakers.on_slice, d.views.on_slice),
                *(d.recorder.accept, p.membership.on_slice, p.runner.on_slice, p.manager.on_slice, p.analyzer.on_slice, p.margin.on_slice),
            ],
        ),
        (e.TimePassed, [d.aligner.on_time, p.manager.on_time, p.reconciler.on_time, *ticking]),
        # decisions
        (e.UniverseChosen, [p.breakers.on_universe]),
        (e.AskStrategy, d.away_on(e.AskStrategy)),
        (e.StrategyStarted, [p.runner.on_started]),
        (e.StrategyAnswered, [p.runner.on_answered]),
        (e.StrategyDisabled, [p.runner.on_disabled]),
        (e.TargetsChosen, [p.analyzer.on_targets, p.manager.on_targets]),
        (e.TargetsUnchanged, [p.manager.on_unchanged]),
        (e.PlanWave, [p.manager.on_plan]),
        *((kind, [d.recorder.accept]) for kind in (e.RiskLimited, e.OrderLimited, e.RiskRefused, e.CorrelationHigh, e.CorrelationCalmed)),
        *((kind, [d.recorder.accept]) for kind in (e.PlanMade, e.GroupJudged)),
        (e.WaveSettled, [p.analyzer.on_settled, d.recorder.accept, p.membership.on_settled]),
        # requests to the edges
        *((kind, [d.gateway.accept]) for kind in (e.SubmitOrders, e.CancelOrder, e.QueryOrder, e.QueryTrades, e.RecallOrder)),
        *((kind, [d.gateway.accept]) for kind in (e.ReadTouch, e.BookFlows, e.BookSleeves)),
        (e.PollAccount, [d.poller.accept]),
        # what is known of orders
        (e.OrderFilled, [p.analyzer.on_fill, p.portfolio.on_fill, p.reconciler.on_fill, p.breakers.on_order, p.manager.on_order]),
        (e.OrderReported, [p.portfolio.on_reported, p.reconciler.on_reported, p.breakers.on_order, p.manager.on_order]),
        (e.OrderRefused, [p.breakers.on_order, p.manager.on_order]),
        *((kind, [p.manager.on_order]) for kind in (e.OrderSent, e.OrderNotSent, e.OrderUnknown, e.OrderNotFound, e.OrderGivenUp)),
        (e.OrderClosed, [p.manager.on_closed, d.recorder.accept]),
        (e.TradesListed, [p.reconciler.on_listed]),
        (e.TouchRead, [p.manager.on_touch]),
        (e.OrderRecalled, [p.reconciler.on_recalled]),
        # the account
        (e.AccountPolled, [d.views.on_polled, p.account.on_polled, p.reconciler.on_polled]),
        (e.PollFailed, [d.views.on_poll_failed]),
        (e.MarketsListed, [p.manager.on_markets, p.account.on_markets, p.membership.on_markets]),
        (e.BalanceMoved, [p.reconciler.on_moved]),
        (e.FlowBooked, [p.analyzer.on_flow, p.portfolio.on_flow, p.curves.on_flow, p.reconciler.on_flow]),
        (e.SleevesBooked, [p.analyzer.on_booked, p.portfolio.on_booked, p.curves.on_booked]),
        (e.AccountReconciled, [p.breakers.on_reconciled, p.manager.on_reconciled]),
        *((e.DriftFound, [p.account.on_drift_found]), (e.DriftCleared, [p.account.on_drift_cleared])),
        # trading state
        (e.MeasureClock, [d.timekeeper.accept]),
        *((e.ReadMarkets, [d.rulebook.accept]), (e.ReadSettings, [d.settings.accept])),
        (e.ClockMeasured, [p.breakers.on_clock]),
        (e.LoopLagged, [p.breakers.on_lag]),
        (e.Awoken, [p.account.on_awoken, p.breakers.on_awoken, p.manager.on_awoken]),
        *((e.HoldPlaced, [d.recorder.accept, p.manager.on_hold]), (e.MarginLow, [p.manager.on_margin])),
        (e.HoldLifted, [d.recorder.accept, p.reconciler.on_lifted, p.breakers.on_lifted, p.manager.on_lifted]),
        (e.RebalanceRequested, [p.runner.on_requested]),
        (e.ApprovalGiven, [p.manager.on_approved]),
        (e.StopRequested, [p.manager.on_stop, p.curves.on_stop]),
        *((kind, [d.recorder.accept]) for kind in (e.KeepState, e.EquityMarked)),
        # told, and acted on by nobody
        *((kind, []) for kind in (e.ForeignOrdersSeen, e.TradingStarted, e.HoldWritten, e.ApprovalAsked, e.ApprovalLapsed)),
        *((kind, []) for kind in (e.ParentBegun, e.ParentEnded, e.SymbolWoundDown, e.MarginRestored, e.MarksLost, e.MarksBack)),
    ]
    return [(kind, [d.tell, *handlers]) for kind, handlers in table]


def _of_swaps(d: Joined) -> Sequence[tuple[type, list[Any]]]:
    account = d.parts.account
    return (
        (e.MarkTicked, [*d.paper_on(e.MarkTicked), account.on_mark]),
        (e.FundingTold, [*d.paper_on(e.FundingTold), account.on_funding]),
    )
