"""How a kind of market says what has been booked; `reports` are spot's words."""

from __future__ import annotations

from typing import Any, Protocol

from daemon.venue.orders import Order, Trade


class Words(Protocol):
    """REST answers about orders and trades."""

    def placed(self, order: Order, detail: str, /) -> dict[str, Any]:
        """Answer to a new order; `detail` is how much is wanted."""
        ...

    def canceled(self, order: Order, /) -> dict[str, Any]:
        """Answer to a cancel."""
        ...

    def queried(self, order: Order, /) -> dict[str, Any]:
        """An order as it stands."""
        ...

    def trade(self, booked: Trade, /) -> dict[str, Any]:
        """A fill in the list of trades."""
        ...
