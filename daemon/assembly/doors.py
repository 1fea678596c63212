"""Doors: which of the doors to an exchange a configuration wants.

Rule: spot and swaps, first or later epochs of a venue differ here; what lies behind a door does not.
"""

from collections.abc import Callable
from functools import partial

from daemon.config import Config
from daemon.io.ccxt_epochs import Epoch, Renumbered
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.ccxt_setup import Wanted
from daemon.io.ccxt_swapmarket import SwapMarket
from daemon.io.ccxt_swaps import RenumberedSwaps, SwapExchange
from daemon.io.ccxt_usdm import CLASSES
from daemon.parts import StartRefused


def door_of(config: Config, epoch: Epoch | None, *, may_set: bool) -> Callable[..., CcxtExchange]:
    """The door to the kind of market that is traded; it still wants what every door does. `may_set`: the account may be set up by it.

    Raises:
        StartRefused: swaps of an exchange whose swaps are not traded.
    """
    chosen = config.exchange
    if chosen.market == "spot":
        return CcxtExchange if epoch is None else partial(Renumbered, epoch=epoch)
    if chosen.id not in CLASSES and config.mode == "paper":
        return partial(SwapMarket, leverage=chosen.leverage)
    if chosen.id not in CLASSES:
        remedy = "write one of these, mode: paper, or market: spot"
        text = f"{config.place}.id {chosen.id}: an account of swaps is traded on {' and '.join(sorted(CLASSES))}; {remedy}"
        raise StartRefused(f"{config.source}: {text}", 78)
    wanted = Wanted(chosen.leverage, chosen.margin_mode, may_set=may_set)
    return partial(SwapExchange, wanted=wanted) if epoch is None else partial(RenumberedSwaps, epoch=epoch, wanted=wanted)


def refuse_what_it_takes_not(config: Config, venue: CcxtExchange) -> None:
    """Raises StartRefused where the venue does not take the orders of the style; a paper account takes them all."""
    style, twap = config.execution.style, config.execution.twap
    by_limits = style in ("limit", "maker_then_taker") or (style == "twap" and twap.child == "limit")
    missing = "that end at once" if by_limits and not venue.takes_limits else ""
    if style == "maker_then_taker" and not venue.takes_resting:
        missing = "that only rest in the book"
    if missing and config.mode != "paper":
        taken = f"{config.exchange.id} takes no limit orders {missing}, as far as ccxt knows"
        raise StartRefused(f"{config.source}: execution.style {style} cannot be traded, since {taken}; write market", 78)
