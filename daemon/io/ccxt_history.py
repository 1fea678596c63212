"""Reading the past in pages: candles and our own trades.

Rule: what comes back is complete, or an error says that it cannot be had.
"""

from typing import Any, Final

from daemon.io.ccxt_client import Guarded
from daemon.io.ccxt_library import ccxt
from daemon.io.ccxt_types import Json

PAGE: Final = 500  # where ccxt does not know a venue's page size
DAY_MS: Final = 86_400_000
NEWEST_FIRST: Final = frozenset({"binance", "binanceus"})  # without a start these list the newest trades, of any age


class Pages:
    """One venue's listings."""

    def __init__(self, client: Guarded, kind: tuple[str, str | None] = ("spot", None)) -> None:
        self._client, self._kind = client, kind
        self.bars_max: int = self._feature("fetchOHLCV", "limit") or PAGE
        self._trades_max = self._feature("fetchMyTrades", "limit")
        days = self._feature("fetchMyTrades", "untilDays")
        self._window_ms = None if days is None else int(days * DAY_MS)

    async def bars(self, symbol: str, timeframe: str, since_ms: int | None, limit: int, price: str = "") -> list[list[Any]]:
        """One page of candles, oldest first: from `since_ms`, or the newest `limit`; of another price than the traded one, as `mark`."""
        size = self.bars_max if since_ms is not None else min(limit, self.bars_max)
        rows: list[list[Any]] = await self._client.fetch_ohlcv(symbol, timeframe, since_ms, size, {"price": price} if price else {})
        return sorted(rows, key=lambda row: int(row[0]))

    async def trades(self, symbol: str, since_ms: int, now_ms: int) -> list[Json]:
        """Our trades from `since_ms` on, oldest first."""
        found: dict[str, Json] = {}
        if not await self._newest(symbol, since_ms, found):
            await self._forward(symbol, since_ms, now_ms, found)
        return sorted((row for row in found.values() if int(row["timestamp"]) >= since_ms), key=_moment)

    async def _newest(self, symbol: str, since_ms: int, found: dict[str, Json]) -> bool:
        """Whether the newest page reaches back far enough, which it does on all but the busiest accounts."""
        if self._client.id not in NEWEST_FIRST or self._trades_max is None:
            return False
        rows = self._read(await self._client.fetch_my_trades(symbol, None, self._trades_max), found)
        return len(rows) < self._trades_max or int(rows[0]["timestamp"]) < since_ms

    async def _forward(self, symbol: str, start_ms: int, now_ms: int, found: dict[str, Json]) -> None:
        """From `start_ms` to now, in windows where the venue answers for so many days at once only."""
        while start_ms <= now_ms:
            until_ms = None if self._window_ms is None else start_ms + self._window_ms - 1
            params = {} if until_ms is None else {"until": until_ms}
            known = len(found)
            rows = self._read(await self._client.fetch_my_trades(symbol, start_ms, self._trades_max, params), found)
            if rows and int(rows[-1]["timestamp"]) > start_ms:
                start_ms = int(rows[-1]["timestamp"])  # inclusive: others may share the millisecond
            elif len(found) > known:
                continue
            elif self._trades_max is not None and len(rows) >= self._trades_max:
                raise ccxt.BadResponse(f"{symbol}: more trades in one millisecond than a page holds")
            elif until_ms is None:
                return
            else:
                start_ms = until_ms + 1

    @staticmethod
    def _read(rows: list[Json], found: dict[str, Json]) -> list[Json]:
        if any(not row.get("id") or not row.get("timestamp") for row in rows):
            raise ccxt.BadResponse("a trade without id or time")
        found.update((str(row["id"]), row) for row in rows)
        return sorted(rows, key=_moment)

    def _feature(self, method: str, name: str) -> Any:
        return self._client.feature_value_by_type(*self._kind, method, name)


def _moment(row: Json) -> tuple[int, int, str]:
    """In order of time; ids that are numbers in order of number."""
    identity = str(row["id"])
    return int(row["timestamp"]), len(identity) if identity.isdigit() else 0, identity
