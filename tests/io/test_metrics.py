"""What is counted: lines of the log by name, refusals by code, waves; with a bound on everything that others name."""

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from daemon.core.plain import Plain
from daemon.io.metrics import CODES_MAX, EVENTS_MAX, OTHER, Metrics


def counted(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by their labels."""
    found = text_string_to_metric_families(metrics.text().decode())
    return {tuple(s.labels.values()): s.value for family in found for s in family.samples if s.name == name}


def heard(*lines: dict[str, Plain]) -> Metrics:
    metrics = Metrics([""], datetime(2026, 1, 2, tzinfo=UTC))
    for line in lines:
        metrics.hear({"level": "info", **line})
    return metrics


def line(event: str, **fields: Plain) -> dict[str, Plain]:
    return {"event": event, **fields}


def test_every_line_but_debug_is_counted_by_its_name() -> None:
    """Held back by the log or not, with its level; debug is not asked for."""
    metrics = heard({"event": "slice.closed"}, {"event": "slice.closed"}, {"event": "order.unknown", "level": "warning"})
    assert counted(metrics, "rebalanced_events_total") == {("slice.closed", "info"): 2.0, ("order.unknown", "warning"): 1.0}
    assert metrics.wants("info", "a.name")
    assert not metrics.wants("debug", "a.name")


def test_names_and_codes_are_bounded() -> None:
    """However many there are, those beyond the bound are one series, and none is lost from the sum."""
    metrics = heard(*(line(f"a.n{n}") for n in range(EVENTS_MAX + 7)))
    events = counted(metrics, "rebalanced_events_total")
    assert (len(events), events[OTHER, "info"], sum(events.values())) == (EVENTS_MAX + 1, 7.0, EVENTS_MAX + 7)
    metrics = heard(*(line("order.rejected", reason=f"r{n}") for n in range(CODES_MAX + 3)))
    codes = counted(metrics, "rebalanced_rejected_orders_total")
    assert (len(codes), codes["", OTHER]) == (CODES_MAX + 1, 3.0)


def test_a_wave_that_sent_nothing_has_no_length_and_no_cost() -> None:
    """It is counted as one; length and cost are of those that traded, the cost as a share, and of the last of them."""
    settled: dict[str, Plain] = {"event": "wave.settled"}
    metrics = heard(settled | {"sent": 3, "took_ms": 1500, "cost_bps": 12.5}, settled | {"sent": 0, "took_ms": 1, "cost_bps": None})
    assert counted(metrics, "rebalanced_waves_total") == {("",): 2.0}
    assert counted(metrics, "rebalanced_wave_seconds_sum") == {("",): 1.5}
    assert counted(metrics, "rebalanced_wave_cost_ratio") == {("",): 0.00125}


def test_a_count_begins_at_zero() -> None:
    """The first wave of an account is an increase to whoever reads."""
    assert counted(heard(), "rebalanced_waves_total") == {("",): 0.0}
