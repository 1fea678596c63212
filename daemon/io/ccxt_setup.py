"""Setup: leverage, margin mode and position mode of an account's swaps: read, compared with the configuration, and set.

Rule: that a setting is there already is success. What a venue does not set is said, with its own words; nothing here opens or closes a
position.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from daemon.io import ccxt_parse as parse
from daemon.io.ccxt_client import Guarded
from daemon.io.exchange import Reason, Refused

# What is unlike about the account itself and none of its markets.
ACCOUNT: Final = ""
HEDGED: Final = "the account is in hedge mode, which is not traded; close its positions and orders, and set it to one-way mode"

Call = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every market is to be set to. `may_set`: whether we may change what is not so; else it is only read."""

    leverage: int
    margin_mode: str
    may_set: bool


class Setup:
    """The settings as they were read last. `call` makes a signed request, and raises VenueErrors only."""

    def __init__(self, client: Guarded, call: Call, wanted: Wanted) -> None:
        self._client = client
        self._call = call
        self._wanted = wanted
        self._found: dict[str, tuple[Decimal | None, str]] = {}
        self._hedged = False
        self._refused: dict[str, str] = {}  # by symbol, what the venue said when it was to set one

    @property
    def leverages(self) -> Mapping[str, Decimal]:
        """By symbol, the leverage that the account has there."""
        return {symbol: leverage for symbol, (leverage, _) in self._found.items() if leverage}

    @property
    def unlike(self) -> Mapping[str, str]:
        """See SetUp.unlike."""
        found = {symbol: self._sentence(symbol) for symbol in self._found if self._is_unlike(symbol)}
        return {ACCOUNT: HEDGED + self._words(ACCOUNT), **found} if self._hedged else found

    async def look(self, symbols: Sequence[str]) -> Mapping[str, str]:
        """Read them; what is unlike the configuration. Of a market that the venue does not tell of, nothing is known to be right."""
        self._refused = {}
        await self._read(symbols)
        return self.unlike

    async def put_right(self, symbols: Sequence[str]) -> Mapping[str, str]:
        """Set what was found unlike, where we may and the venue does, and read back; what stays unlike."""
        if not (self.unlike and self._wanted.may_set):
            return self.unlike
        if self._hedged:
            self._refused[ACCOUNT] = await self._set(lambda: self._client.set_position_mode(False))
        for symbol in [symbol for symbol in symbols if self._is_unlike(symbol)]:
            self._refused[symbol] = await self._put_right(symbol)
        await self._read(symbols)
        return self.unlike

    # --- within ------------------------------------------------------------------------------------------------------

    async def _read(self, symbols: Sequence[str]) -> None:
        mode = await self._call(self._client.fetch_position_mode)
        told = await self._call(lambda: self._client.fetch_leverages(list(symbols)))
        with parse.reading("the settings of the markets"):
            self._hedged = mode.get("hedged") is not False
            raw = {symbol: told.get(symbol) or {} for symbol in symbols}
            self._found = {
                s: (parse.positive(each.get("longLeverage")), str(each.get("marginMode") or "unknown")) for s, each in raw.items()
            }

    def _is_unlike(self, symbol: str) -> bool:
        return self._found.get(symbol) != (Decimal(self._wanted.leverage), self._wanted.margin_mode)

    async def _put_right(self, symbol: str) -> str:
        """Set a market's margin mode and leverage; the venue's words where it refuses one of them."""
        leverage, mode = self._found.get(symbol, (None, ""))
        said = ""
        if mode != self._wanted.margin_mode:
            said = await self._set(lambda: self._client.set_margin_mode(self._wanted.margin_mode, symbol))
        if leverage != self._wanted.leverage:
            said = await self._set(lambda: self._client.set_leverage(self._wanted.leverage, symbol)) or said
        return said

    async def _set(self, request: Callable[[], Awaitable[Any]]) -> str:
        """Ask for a setting; the venue's words where it refuses. That it is set already is no refusal."""
        try:
            await self._call(request)
        except Refused as error:
            return "" if error.reason is Reason.NO_CHANGE else error.text
        return ""

    def _sentence(self, symbol: str) -> str:
        leverage, mode = self._found[symbol]
        wanted = f"where the configuration says {self._wanted.leverage} and {self._wanted.margin_mode}"
        return f"{symbol} has leverage {leverage} and margin mode {mode}, {wanted}{self._words(symbol)}"

    def _words(self, symbol: str) -> str:
        if not self._wanted.may_set:
            return "; nothing is set here"
        return f"; the exchange does not set it: {self._refused[symbol]}" if self._refused.get(symbol) else ""
