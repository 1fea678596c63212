"""Refusals of the venue, with Binance's codes, words and HTTP statuses.

Rule: a request that is refused has changed nothing. Source of codes and texts: errors.md of Binance's spot API documentation.
"""

from __future__ import annotations


class VenueError(Exception):
    """A refusal: HTTP status, Binance's code and message, extra headers."""

    def __init__(self, code: int, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """The error as the protocol's JSON object."""
        return {"code": self.code, "msg": self.message}


def mandatory(name: str) -> VenueError:
    """A parameter is missing, empty or malformed."""
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> VenueError:
    """A parameter does not match its pattern."""
    return VenueError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def not_required(name: str) -> VenueError:
    """A parameter that does not belong to this kind of order."""
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> VenueError:
    """More decimals than the protocol carries (8)."""
    return VenueError(-1111, f"Parameter '{name}' has too much precision.")


def bad_symbol() -> VenueError:
    """The market is not listed."""
    return VenueError(-1121, "Invalid symbol.")


def bad_interval() -> VenueError:
    """The candle interval is unknown, or finer than the venue's rows."""
    return VenueError(-1120, "Invalid interval.")


def filter_failure(name: str) -> VenueError:
    """The order breaks a rule of the market."""
    return VenueError(-1013, f"Filter failure: {name}")


def rejected(message: str) -> VenueError:
    """The matching engine refuses a new order."""
    return VenueError(-2010, message)


def cancel_rejected() -> VenueError:
    """The order to cancel is not open."""
    return VenueError(-2011, "Unknown order sent.")


def no_such_order() -> VenueError:
    """The order asked for was never placed."""
    return VenueError(-2013, "Order does not exist.")
