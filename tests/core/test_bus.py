"""The bus: one order of events, each run to completion."""

from collections.abc import Iterable, Iterator

import pytest

from daemon.core.bus import Bus, CascadeError

Word = str | int


def test_what_a_handler_returns_comes_behind_what_is_queued() -> None:
    """Two handlers' answers are handled after both have seen the event, in the order of the routes."""
    seen: list[Word] = []

    def first(event: Word) -> Iterable[Word]:
        seen.append(f"first {event}")
        return [1]

    def second(event: Word) -> Iterable[Word]:
        seen.append(f"second {event}")
        return [2]

    def number(event: Word) -> Iterable[Word]:
        seen.append(event)
        return ()

    Bus[Word]([(str, [first, second]), (int, [number])]).publish("go")
    assert seen == ["first go", "second go", 1, 2]


def test_a_lazy_handler_has_finished_before_the_next_one_begins() -> None:
    """A generator changes its state before anybody after it in the route looks."""
    state = {"done": False}

    def lazy(_: Word) -> Iterator[Word]:
        yield 1
        state["done"] = True

    def after(_: Word) -> Iterable[Word]:
        assert state["done"]
        return ()

    Bus[Word]([(str, [lazy, after])]).publish("go")


def test_publishing_from_a_handler_is_queued() -> None:
    """A synchronous edge that publishes while it is called waits its turn like everybody."""
    seen: list[Word] = []
    bus: Bus[Word]

    def edge(event: Word) -> Iterable[Word]:
        bus.publish(7)
        seen.append(event)
        return ()

    def number(event: Word) -> Iterable[Word]:
        seen.append(event)
        return ()

    bus = Bus([(str, [edge]), (int, [number])])
    bus.publish("go")
    assert seen == ["go", 7]


def test_routes_of_one_kind_add_up() -> None:
    """The same kind may stand in several lines of the table."""
    seen: list[str] = []

    def note(name: str) -> Iterable[Word]:
        seen.append(name)
        return ()

    Bus[Word]([(str, [lambda _: note("a")]), (str, [lambda _: note("b")])]).publish("go")
    assert seen == ["a", "b"]


@pytest.mark.parametrize("caused", [10, 11])
def test_a_cascade_has_a_limit(caused: int) -> None:
    """As many events as the limit pass; one more is an error that names the last."""

    def count(event: Word) -> Iterable[Word]:
        assert isinstance(event, int)
        return [event + 1] if event < caused else ()

    bus = Bus[Word]([(int, [count])], limit=10)
    if caused <= 10:
        bus.publish(1)
    else:
        with pytest.raises(CascadeError, match="11"):
            bus.publish(1)


def test_after_an_error_the_bus_is_empty_and_usable() -> None:
    """What was queued behind a handler that raised is dropped: the process ends on it, and nothing half-done runs meanwhile."""
    seen: list[Word] = []

    def burst(_: Word) -> Iterable[Word]:
        raise ValueError("no")

    def number(event: Word) -> Iterable[Word]:
        seen.append(event)
        return ()

    bus = Bus[Word]([(str, [burst]), (int, [number])])
    with pytest.raises(ValueError, match="no"):
        bus.publish("go")
    bus.publish(3)
    assert seen == [3]
