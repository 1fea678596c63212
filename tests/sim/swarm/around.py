"""Around: what the door needs of the world on its other side, and who looks at what passes it."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from daemon.core.model import Order
from tests.sim.swarm.books import Books
from tests.sim.swarm.faults import Kind, Weather
from tests.sim.virtual import SimClock


class World(Protocol):
    """What the door needs of the world around it."""

    books: Books
    weather: Weather
    clock: SimClock
    refused_for_ever: set[str]  # swaps in which nothing may be opened any more

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        ...

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something after a while, whoever lives then."""
        ...

    def point(self, name: Kind) -> None:
        """Here a process may be killed."""
        ...


class Witness(Protocol):
    """Who looks at what passes the door."""

    def leaves(self, order: Order) -> None:
        """An order is handed to the transport."""
        ...

    def shown(self, order_id: str) -> None:
        """The process has been told of an order."""
        ...

    def denied(self, order_id: str) -> None:
        """A look-up has answered that there is no such order."""
        ...

    def priced(self, symbol: str, at: datetime) -> None:
        """The process has been told a price of this moment."""
        ...

    def called(self, name: str) -> None:
        """The venue is asked something."""
        ...
