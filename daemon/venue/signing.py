"""Who asks: API key, signature and the request's age.

Rule: nothing private is answered unless the key, the HMAC-SHA256 over the exact text that was sent, and the timestamp are right.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from daemon.venue.errors import VenueError, mandatory
from daemon.venue.params import INTEGER, Params

RECV_WINDOW: Final = 5000  # ms, Binance's default
RECV_WINDOW_MAX: Final = 60_000  # ms
AHEAD_MAX: Final = 1000  # ms a request may come from the future


def signature(secret: str, payload: str) -> str:
    """HMAC-SHA256 of the payload, lower-case hex."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def payload_of(query: str) -> tuple[str, str]:
    """A query as it was sent, without its signature, and the signature."""
    parts = query.split("&")
    signed = [part for part in parts if not part.startswith("signature=")]
    given = [part.removeprefix("signature=") for part in parts if part.startswith("signature=")]
    return "&".join(signed), given[0] if given else ""


def sorted_payload(values: Mapping[str, object]) -> str:
    """What a WebSocket API request signs: its parameters by name."""
    return "&".join(f"{name}={_plain(value)}" for name, value in sorted(values.items()) if name != "signature")


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Doorman:
    """Checks of one key pair."""

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret = key, secret

    def check_key(self, key: str | None) -> None:
        """Refuse a missing or a wrong key."""
        if not key:
            raise VenueError(-2014, "API-key format invalid.", 401)
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)

    def check(self, params: Params, payload: str, given: str, now: int) -> None:
        """Refuse a wrong signature or a request that is too old or too new. Times in ms."""
        if not given:
            raise mandatory("signature")
        self._check_time(params, now)
        if not hmac.compare_digest(signature(self._secret, payload), given):
            raise VenueError(-1022, "Signature for this request is not valid.")

    def _check_time(self, params: Params, now: int) -> None:
        sent = int(params.text("timestamp", INTEGER))
        window = params.integer("recvWindow")
        window = RECV_WINDOW if window is None else window
        if window > RECV_WINDOW_MAX:
            raise VenueError(-1131, "recvWindow must be less than 60000")
        if sent >= now + AHEAD_MAX:
            raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now - sent > window:
            raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")
