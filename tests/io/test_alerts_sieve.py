"""The sieve: a person is told what matters, once, with the count of the rest, and nothing of it is lost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.io.alerts_sieve import ALWAYS, KEYS_MAX, STANDING, Alert, Sieve

MINUTE = 60.0


def line(event: str, level: str = "error", **fields: Any) -> dict[str, Any]:
    return {"ts": "2026-01-02T12:00:00.000000Z", "level": level, "event": event, "name": "demo", **fields}


def sieve(level: str = "error", *events: str, every: float = MINUTE) -> Sieve:
    return Sieve(level, events, every)


def told(alerts: list[Alert]) -> list[tuple[str, int]]:
    return [(str(alert.line["event"]), alert.suppressed) for alert in alerts]


# --- what --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "events", "wanted"),
    [
        ("error", (), {"exchange.refused"}),
        ("warning", (), {"exchange.refused", "slice.incomplete"}),
        ("error", ("wave.settled",), {"exchange.refused", "wave.settled"}),
        ("error", ("order.",), {"exchange.refused", "order.filled"}),
    ],
)
def test_a_channel_has_what_it_asked_for(level: str, events: tuple[str, ...], wanted: set[str]) -> None:
    """Its level and worse, and the events that it names by name or beginning."""
    said = {
        "exchange.refused": "error",
        "slice.incomplete": "warning",
        "wave.settled": "info",
        "order.filled": "info",
        "bar.closed": "debug",
    }
    found = {event for event, severity in said.items() if sieve(level, *events).take(line(event, severity), 0.0)}
    assert found == wanted
    assert all(sieve(level, *events).wants(said[event], event) for event in wanted)


@pytest.mark.parametrize("event", [name if not name.endswith(".") else f"{name}paused" for name in ALWAYS])
def test_some_things_always_matter(event: str) -> None:
    """Trading states, drift, money that moved, other hands, and the ends of the process are told at any level."""
    assert sieve().wants("info", event)
    assert told(sieve().take(line(event, "info"), 0.0)) == [(event, 0)]


@pytest.mark.parametrize("event", ["alert.failed", "alert.sent", "log.dropped"])
def test_an_alert_makes_no_alert(event: str) -> None:
    """What the channel says of itself is not told by it, even where it was asked for: each would make the next."""
    assert not sieve("warning", "alert.", "log.").wants("error", event)


# --- how often -------------------------------------------------------------------------------------------------------


def test_what_repeats_is_told_once_with_its_count() -> None:
    """Within the interval it is held back; the next one after it brings the count of what was."""
    quiet = sieve()
    assert told(quiet.take(line("order.surprise"), 0.0)) == [("order.surprise", 0)]
    assert [quiet.take(line("order.surprise"), second) for second in (1.0, 2.0, 59.9)] == [[], [], []]
    assert told(quiet.take(line("order.surprise"), 60.0)) == [("order.surprise", 3)]


def test_what_was_held_back_is_told_when_its_time_is_over() -> None:
    """Without a next one, the newest comes by itself, and the interval begins anew; where nothing was held back, nothing comes."""
    quiet = sieve()
    quiet.take(line("order.surprise", what="one"), 0.0)
    quiet.take(line("order.surprise", what="two"), 10.0)
    quiet.take(line("order.surprise", what="three"), 20.0)
    assert quiet.next_at == 60.0
    assert quiet.due(59.9) == []
    (alert,) = quiet.due(60.0)
    assert (alert.line["what"], alert.suppressed) == ("three", 1)
    assert quiet.take(line("order.surprise"), 61.0) == []
    assert told(quiet.due(120.0)) == [("order.surprise", 0)]
    assert quiet.due(180.0) == []
    assert quiet.next_at is None


@pytest.mark.parametrize("about", ["symbol", "currency", "strategy", "scope", "code", "job"])
def test_different_things_are_told_apart(about: str) -> None:
    """The same event about another symbol, currency, strategy, scope or cause is news."""
    quiet = sieve()
    assert quiet.take(line("trading.reducing", **{about: "a"}), 0.0)
    assert quiet.take(line("trading.reducing", **{about: "b"}), 0.0)
    assert not quiet.take(line("trading.reducing", **{about: "a"}), 1.0)


def test_a_halt_is_never_held_back() -> None:
    """Halted, resumed and halted again for the same cause within a minute: each is told at once."""
    quiet = sieve()
    for second, event in enumerate(("trading.halted", "trading.resumed", "trading.halted", "trading.paused", "daemon.stopping")):
        assert told(quiet.take(line(event, "info"), float(second))) == [(event, 0)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=200))
def test_every_line_is_told_or_counted(said: list[tuple[str, float]]) -> None:
    """Whatever repeats whenever: alerts and what they say was held back add up to what was said."""
    quiet, mono, count = sieve(), 0.0, 0
    for symbol, pause in said:
        mono += pause
        alerts = [*quiet.due(mono), *quiet.take(line("order.surprise", symbol=symbol), mono)]
        count += sum(1 + alert.suppressed for alert in alerts)
    while (at := quiet.next_at) is not None:
        count += sum(1 + alert.suppressed for alert in quiet.due(at))
    assert count == len(said)


def test_memory_is_bounded_and_loses_no_count() -> None:
    """Of more things than it remembers, the oldest is told early rather than forgotten."""
    quiet = sieve()
    quiet.take(line("order.surprise", symbol="first"), 0.0)
    quiet.take(line("order.surprise", symbol="first"), 0.0)
    alerts = [alert for n in range(3 * KEYS_MAX) for alert in quiet.take(line("order.surprise", symbol=str(n)), 1.0)]
    assert len(alerts) == 3 * KEYS_MAX + 1
    assert sum(alert.line["symbol"] == "first" for alert in alerts) == 1
    assert len(quiet._windows) == KEYS_MAX


# --- what stands -----------------------------------------------------------------------------------------------------


def test_an_order_that_stays_unknown_is_told() -> None:
    """A lost answer is expected and says nothing to a channel for errors; a minute later it is a trouble."""
    quiet = sieve()
    assert quiet.wants("warning", "order.unknown")
    assert quiet.take(line("order.unknown", "warning", order_id="r-1"), 0.0) == []
    assert quiet.next_at == 60.0
    assert quiet.due(59.0) == []
    (alert,) = quiet.due(60.0)
    assert (alert.line["order_id"], alert.standing_s) == ("r-1", 60.0)
    assert quiet.due(1000.0) == []


@pytest.mark.parametrize("end", ["order.resolved", "order.closed"])
def test_an_order_that_is_known_again_is_not_told(end: str) -> None:
    """What ends in time is forgotten, that order's alone."""
    quiet = sieve()
    for order in ("r-1", "r-2"):
        quiet.take(line("order.unknown", "warning", order_id=order), 0.0)
    assert quiet.wants("info", end)
    assert quiet.take(line(end, "info", order_id="r-1"), 20.0) == []
    assert [alert.line["order_id"] for alert in quiet.due(60.0)] == ["r-2"]


def test_the_end_of_what_was_told_to_last_is_told_once() -> None:
    """A person who was woken by an order in doubt hears what became of it, and not again of its later lines."""
    quiet = sieve()
    quiet.take(line("order.unknown", "warning", order_id="r-1"), 0.0)
    quiet.due(60.0)
    assert told(quiet.take(line("order.resolved", "info", order_id="r-2"), 70.0)) == []
    assert told(quiet.take(line("order.resolved", "info", order_id="r-1"), 80.0)) == [("order.resolved", 0)]
    assert told(quiet.take(line("order.closed", "info", order_id="r-1"), 300.0)) == []


def test_an_outage_is_told_from_its_beginning() -> None:
    """Probes that repeat do not put it off, and an exchange that answers ends it."""
    quiet = sieve()
    for second in range(0, 300, 30):
        assert quiet.take(line("exchange.unreachable", "warning"), float(second)) == []
    assert [alert.standing_s for alert in quiet.due(300.0)] == [300.0]
    quiet.take(line("exchange.unreachable", "warning"), 400.0)
    quiet.take(line("daemon.ready", "info"), 500.0)
    assert quiet.due(10_000.0) == []


def test_doubts_are_bounded() -> None:
    """However many orders are unknown, no more than a thousand are watched."""
    quiet = sieve()
    for n in range(2 * KEYS_MAX):
        quiet.take(line("order.unknown", "warning", order_id=str(n)), 0.0)
    assert len(quiet._standing) == KEYS_MAX
    assert set(STANDING) == {"order.unknown", "exchange.unreachable"}
