"""Inputs of a plan: rules, account, markets and weights as one value, with a text that tells every digit and a hash of that text.

Rule: nothing else goes into a plan. Whoever reads the text and plans again gets the same plan, to the byte.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Self, TypeVar

from daemon.core.model import ZERO, Instrument, stated

ONE: Final = Decimal(1)

# Of the text. A text of another version is refused: it was planned by other rules.
VERSION: Final = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When and how far to trade. Weights are shares of equity, `slippage` is the fraction that a market order may cost above its reference.

    No trade while a weight is within the widest of these of its target: `band`; `band_relative` x the target; `band_average` x the mean
    size of all targets; and, with a `risk_aversion` above 0, the width at which the cost of trading outweighs what it corrects
    (planner_zones). `to_edge`: trade to the edge of that zone instead of to the target.

    `turnover_max` bounds what one rebalance trades: half the sum of all trades, exits included, as a share of equity. None: no bound.

    `raise_max`: so many times its own weight a target may become, when others are too small for the venue and it takes their part
    (planner_small). 1: never.

    `fee_asset`: the currency that the venue takes fees in, if that is neither base nor quote; `fee_reserve` units of it are never sold.
    """

    band: Decimal = Decimal("0.02")
    band_relative: Decimal = Decimal("0.10")
    band_average: Decimal = ZERO
    risk_aversion: Decimal = ZERO
    to_edge: bool = False
    slippage: Decimal = Decimal("0.005")
    turnover_max: Decimal | None = None
    raise_max: Decimal = Decimal(3)
    fee_asset: str = ""
    fee_reserve: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The account as planning sees it.

    `projected` holds base units by symbol: what is held plus what every order that has not ended may still add or take. `free` is what of
    the base may be sold. `prices` are quote per base. `cash` is money that nothing has reserved, by quote currency; `rates` say what a
    unit of each is worth in the currency that the account is measured in. `equity` (in that currency) is what weights are shares of: the
    account's worth, less what is set aside. `traded` is the worth, in the same, of what this rebalance has traded already and of what its
    orders may still trade.
    `frozen` names symbols that must not grow, with the reason, `untouchable` those that must not trade at all, and `moving` those with
    orders that have not ended.
    """

    projected: Mapping[str, Decimal]
    free: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    cash: Mapping[str, Decimal]
    rates: Mapping[str, Decimal]
    equity: Decimal
    frozen: Mapping[str, str] = field(default_factory=dict)
    moving: Mapping[str, str] = field(default_factory=dict)
    untouchable: Mapping[str, str] = field(default_factory=dict)
    traded: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that a plan follows from.

    `weights` is a full set of targets: a symbol that is held but not named is wanted at 0. Symbols in `keep` stay as they are. `caps`: the
    largest size of weight that the limits allow a symbol; a target is never raised and never rounded beyond it. `exits_only`: nothing but
    what is wanted at 0 is traded.
    """

    weights: Mapping[str, float]
    book: Book
    markets: Mapping[str, Instrument]
    rules: Rules
    keep: frozenset[str] = frozenset()
    caps: Mapping[str, float] = field(default_factory=dict)
    exits_only: bool = False

    def text(self) -> str:
        """The inputs as JSON: keys in order, Decimals as text with all their digits, rules that stand at their default left out."""
        parts = {
            "book": _json(stated(self.book)),
            "caps": _json({s: float(cap) for s, cap in self.caps.items()}),
            "exits_only": _json(self.exits_only),
            "keep": _json(sorted(self.keep)),
            "markets": f"[{','.join([self.markets[s].text for s in sorted(self.markets)])}]",
            "rules": _json(stated(self.rules)),
            "version": str(VERSION),
            "weights": _json({s: float(weight) for s, weight in self.weights.items()}),
        }
        return "{" + ",".join(f'"{key}":{part}' for key, part in parts.items()) + "}"

    @property
    def fingerprint(self) -> str:
        """The hash of the text: 32 hexadecimal digits of BLAKE2b."""
        return fingerprint(self.text())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inputs that a text tells.

        Raises:
            ValueError: it does not tell any, or tells those of another version.
        """
        try:
            raw = json.loads(text)
            version = raw["version"]
            if version != VERSION:
                raise ValueError(f"the inputs of a plan are of version {version}, not {VERSION}")
            return cls(
                weights=raw["weights"],
                book=_read(Book, raw["book"]),
                markets={rules["symbol"]: _read(Instrument, rules) for rules in raw["markets"]},
                rules=_read(Rules, raw["rules"]),
                keep=frozenset(raw["keep"]),
                caps=raw["caps"],
                exits_only=raw["exits_only"],
            )
        except (AttributeError, KeyError, TypeError, InvalidOperation) as error:
            raise ValueError(f"these are no inputs of a plan: {type(error).__name__} {error}") from None


@lru_cache(maxsize=65536)
def exact(number: float) -> Decimal:
    """A float as the Decimal that is written like it."""
    return Decimal(repr(float(number)))


def fingerprint(text: str) -> str:
    """The hash of a text of inputs: 32 hexadecimal digits of BLAKE2b."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


# --- the text --------------------------------------------------------------------------------------------------------


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


# The mappings of a book whose values are words; those of all others are numbers.
_WORDS: Final = frozenset({"frozen", "moving", "untouchable"})


def _read(kind: type[T], raw: Mapping[str, Any]) -> T:
    types = {each.name: each.type for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _value(name, value, decimal="Decimal" in str(types[name])) for name, value in raw.items()})


def _value(name: str, value: Any, *, decimal: bool) -> Any:
    if isinstance(value, Mapping):
        return dict(value) if name in _WORDS else {key: Decimal(item) for key, item in value.items()}
    return Decimal(value) if decimal and value is not None else value
