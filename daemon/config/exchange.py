"""The exchange of an instance, or each of its accounts: where it is, and where the keys are."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from daemon.config.freeform import without_secrets
from daemon.config.kinds import Name, Symbol
from daemon.config.secrets import SecretRef
from daemon.config.section import Section
from daemon.config.values import between, choice, duration, some, whole, words

MAX_SYMBOLS = 1000  # twice the largest universe that was measured


class CredentialsConfig(Section):
    """Where the keys of the exchange are; the values are never in this file."""

    api_key: SecretRef | None = Field(default=None, description="The API key. Needed in modes sandbox and live.")
    secret: SecretRef | None = Field(default=None, description="The secret that signs. Needed in modes sandbox and live.")
    password: SecretRef | None = Field(default=None, description="The passphrase, for the exchanges that have one (okx, kucoin, bitget).")


class ExchangeConfig(Section):
    """The exchange, the market on it and the way there."""

    id: Annotated[str, *words(r"[a-z][a-z0-9_]{0,39}", "the ccxt id of an exchange", "binance")] = Field(
        description="ccxt id of the exchange.", examples=["binance"]
    )
    market: Annotated[Literal["spot", "swap"], choice("spot", "swap")] = Field(
        default="spot", description="Kind of market; swap (linear perpetuals in one-way mode) allows weights below 0."
    )
    leverage: Annotated[int, *whole(between("1", "125"))] = Field(
        default=1, description="Leverage that every market is set to; what positions are worth follows from the weights alone. Swap only."
    )
    margin_mode: Annotated[Literal["cross", "isolated"], choice("cross", "isolated")] = Field(
        default="cross", description="cross: all positions answer with the whole wallet; isolated: each with its own margin. Swap only."
    )
    dead_mans_switch: Annotated[timedelta, *duration("10s", "1h")] | None = Field(
        default=None,
        description="After so long without a word from the daemon, the exchange cancels every open order in markets where it has "
        "any, those of others too; null: not used. Swap only.",
    )
    credentials: CredentialsConfig = Field(default_factory=CredentialsConfig, description="Where the keys are; not needed in mode paper.")
    ccxt: Annotated[Mapping[str, Any], BeforeValidator(without_secrets)] = Field(
        default={}, description="Merged deeply into the ccxt constructor, with the last word: urls, options, proxies, hostname. No secrets."
    )


class AccountConfig(ExchangeConfig):
    """One of several accounts: an exchange with a name of its own, and what is traded there."""

    name: Name = Field(description="Its name: strategies, commands, logs and its journal go by it; each once.", examples=["main"])
    symbols: Annotated[Annotated[tuple[Symbol, ...], Field(max_length=MAX_SYMBOLS)] | None, BeforeValidator(some)] = Field(
        default=None, description="Which of universe.symbols it trades; all of its market's kind unless given."
    )

    def trades(self, universe: tuple[str, ...]) -> tuple[str, ...]:
        """What it trades of the universe, in its order; a swap's symbol names what it settles in."""
        if self.symbols is not None:
            return tuple(symbol for symbol in universe if symbol in self.symbols)
        return tuple(symbol for symbol in universe if (":" in symbol) == (self.market == "swap"))
