# ruff: noqa: D102, FBT001, FBT002, N815
"""ccxt's classes as far as the door relies on them: the untyped world, written down once.

Rule: a name of ccxt that is used often, or overridden, stands here with its type; the rest is reached through `__getattr__` and is Any.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

Json = dict[str, Any]


class Socket(Protocol):
    """The websocket client."""

    url: str
    error: Exception | None
    connected: Any
    futures: Json
    subscriptions: Json
    last_retry_after: float | None
    handle_message: Callable[[Any], None]

    def future(self, message_hash: str) -> Any:
        """The future of a message."""
        ...

    def connect(self, session: object, backoff_delay: float = 0) -> Any:
        """Dial; the future resolves when connected and stays pending when not."""
        ...

    def reject(self, result: Exception, message_hash: str | None = None) -> object:
        """Fail one future, or all."""
        ...

    def on_error(self, error: Exception) -> None:
        """Fail everything and close."""
        ...

    async def send(self, message: object) -> None:
        """Send a message as JSON."""
        ...

    async def close(self, code: int = 1000) -> None:
        """Close the connection and cancel what waits."""
        ...


if TYPE_CHECKING:

    class Ccxt:
        """The exchange class."""

        id: str
        name: str
        hostname: str | None
        apiKey: str
        secret: str
        has: Json
        urls: Json
        options: Json
        timeframes: dict[str, str] | None
        markets: dict[str, Json] | None
        commonCurrencies: dict[str, str]
        precisionMode: int
        rateLimit: float
        session: aiohttp.ClientSession | None
        tcp_connector: aiohttp.TCPConnector | None
        own_session: bool
        aiohttp_trust_env: bool
        clients: dict[str, Socket]
        ohlcvs: dict[str, Json]
        orders: list[Json] | None
        verbose: bool

        def __init__(self, config: Mapping[str, object]) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
        def handle_errors(self, *answer: Any) -> object: ...
        def on_rest_response(self, *answer: Any) -> str: ...
        def on_connected(self, client: Socket, message: object = None) -> None: ...
        def open(self, lazy: bool = False) -> None: ...
        def client(self, url: str) -> Socket: ...
        def handle_message(self, client: Socket, message: Any) -> None: ...
        async def close(self) -> None: ...
        async def fetch2(self, path: str, api: Any, method: str, params: Any, config: Any) -> Any: ...
        async def fetch(self, url: str, method: str, headers: Any, body: Any) -> Any: ...

else:
    Ccxt = object
