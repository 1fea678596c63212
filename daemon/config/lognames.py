"""Names of log events that a channel of alerts can be sent.

Rule: those of docs/log-events.md, which a test compares with the source, but for what alerts and the log say of themselves and what is
written after the channels are closed.
"""

from typing import Any, Final

from daemon.config.values import suggestion, wrong

NAMES: Final = (
    "account.foreign_orders",
    "account.poll_failed",
    "account.polling",
    "account.reconciled",
    "account.refused",
    "account.streaming",
    "api.failed",
    "approval.asked",
    "approval.given",
    "approval.lapsed",
    "bar.closed",
    "bar.late",
    "bars.polling",
    "bars.streaming",
    "clock.measured",
    "clock.skewed",
    "command.done",
    "command.refused",
    "config.preparing",
    "config.refused",
    "config.reloaded",
    "config.remark",
    "daemon.awoke",
    "daemon.failed",
    "daemon.kept_open",
    "daemon.left_open",
    "daemon.none_open",
    "daemon.ready",
    "daemon.starting",
    "daemon.stopping",
    "drift.cleared",
    "drift.found",
    "exchange.refused",
    "exchange.silence",
    "exchange.unreachable",
    "flow.booked",
    "group.balanced",
    "group.stuck",
    "group.unbalanced",
    "group.unwinding",
    "library.message",
    "loop.lag",
    "market.changed",
    "markets.unread",
    "order.accepted",
    "order.cancel_requested",
    "order.closed",
    "order.filled",
    "order.not_found",
    "order.given_up",
    "order.not_sent",
    "order.rejected",
    "order.resolved",
    "order.submitted",
    "order.surprise",
    "order.unknown",
    "parent.begun",
    "parent.ended",
    "plan.made",
    "rebalance.requested",
    "risk.correlation_calmed",
    "risk.correlation_high",
    "risk.limited",
    "risk.refused",
    "route.ready",
    "sleeves.booked",
    "slice.closed",
    "slice.incomplete",
    "strategy.disabled",
    "strategy.failed",
    "strategy.hindered",
    "strategy.started",
    "stream.connected",
    "stream.gap_filled",
    "stream.stale",
    "targets.chosen",
    "trading.flattening",
    "trading.halted",
    "trading.paused",
    "trading.reducing",
    "trading.resumed",
    "trading.started",
    "universe.chosen",
    "universe.wound_down",
    "wave.settled",
)  # fmt: skip
_BEGINNINGS: Final = tuple(sorted({f"{name.partition('.')[0]}." for name in NAMES}))


def known_event(value: Any) -> Any:
    """The name of an event, or the beginning of some with its dot."""
    if isinstance(value, str) and value not in NAMES and not (value.endswith(".") and any(name.startswith(value) for name in NAMES)):
        meant = suggestion(value, [*NAMES, *_BEGINNINGS])
        raise wrong("is no log event that is sent", f"did you mean {meant}?" if meant else "docs/log-events.md names them all")
    return value
