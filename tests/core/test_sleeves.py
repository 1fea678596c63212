"""Sleeves: every story ends with everybody's holdings and profits adding up to the account's, to the last digit.

A failing story names its seed; `make sleeves CASES=10000` tells more of them.
"""

import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core import events as e
from daemon.core.apportion import share_out, total
from daemon.core.ledger import Ledger
from daemon.core.model import EXACT, ZERO, currencies
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from tests.core.test_stories import wait_for_calm, weather
from tests.core.toyworld import ToyWorld

CASES = int(os.environ.get("REBALANCED_CASES", "40"))
FIRST = int(os.environ.get("REBALANCED_SEED", "1"))
CHUNKS = 8
NAMES = ("ada", "bob", "cat")

Route = tuple[type, list[Callable[[e.Event], Iterable[e.Event]]]]

amounts = st.decimals("0.000000001", "1000000000", allow_nan=False, allow_infinity=False, places=9)


@given(
    whole=amounts,
    wants=st.dictionaries(st.sampled_from("abcdefgh"), amounts, min_size=1),
    step=st.sampled_from(["0.001", "0.5", "7", "1E-18"]),
)
def test_what_is_shared_out_is_all_of_it(whole: Decimal, wants: dict[str, Decimal], step: str) -> None:
    """The parts add up exactly, and nobody is a step or more away from his proportion, apart from what is off the grid."""
    size = Decimal(step)
    parts = share_out(whole, wants, size)
    assert total(parts.values()) == whole
    everything = total(wants.values())
    for name, want in wants.items():
        quota = EXACT.divide(EXACT.multiply(whole, want), everything)
        assert abs(parts.get(name, ZERO) - quota) < 2 * size
    reordered = dict(reversed(wants.items()))
    assert share_out(whole, reordered, size) == parts


@given(wants=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**6), min_size=1), share=st.fractions(0, 1))
def test_nobody_gets_more_than_he_wants(wants: dict[str, int], share: float) -> None:
    """Of no more than all want in whole steps, nobody has more than his own."""
    wanted = {name: Decimal(steps) for name, steps in wants.items()}
    whole = Decimal(int(total(wanted.values()) * Decimal(float(share))))
    assert all(part <= wanted[name] for name, part in share_out(whole, wanted, Decimal(1)).items())


class SleeveWorld(ToyWorld):
    """A toy world of three strategies in one account, judged after every event."""

    def __init__(self, seed: int) -> None:
        self.events = 0
        self.crossed = 0
        super().__init__(seed, weather(Random(seed)), strategies=NAMES)

    def _routes(self) -> list[Route]:
        """The sleeves are judged after every event that may touch them."""
        touching = (e.OrderFilled, e.OrderReported, e.FlowBooked, e.SleevesBooked)
        return [(kind, [*handlers, self._judge] if kind in touching else handlers) for kind, handlers in super()._routes()]

    def _judge(self, _event: e.Event) -> Iterable[e.Event]:
        left = self.portfolio.left_over()
        assert not left, f"not the ledger's, or nobody's: {left}"
        for name in NAMES:
            for symbol in self.symbols:
                held = self.portfolio.held(name, currencies(symbol)[0])
                assert held >= -self.markets[symbol].lot, f"{name} holds {held} of {symbol}"
        self.events += 1
        if self.events % 10 == 0:
            self.judge_profits()
        return ()

    def judge_profits(self) -> None:
        """What sleeves and nobody have made is what the account has made; no two bookings have one id."""
        ids = [booking.id for booking in self._bookings()]
        assert len(set(ids)) == len(ids), "two bookings have one id"
        self.curves.mark(self.now)
        curves = self.curves.sleeves.values()
        for member in ("pnl", "equity", "contributed"):
            assert total(getattr(curve, member) for curve in curves) == getattr(self.curves.account, member), member

    def _book_sleeves(self, event: e.BookSleeves) -> Iterable[e.Event]:
        before = (self.ledger.holdings(), self.account.equity(), self.account.cash_free())
        followed = super()._book_sleeves(event)
        self.crossed += event.booking.kind == "cross"
        assert (self.ledger.holdings(), self.account.equity(), self.account.cash_free()) == before
        return followed

    def folded(self) -> Portfolio:
        """What a start would make of the journal now."""
        found = Portfolio(NAMES, Ledger(), OrderTable())
        self.fold(found)
        return found


def story(seed: int) -> SleeveWorld:
    """Some decisions in bad weather, and a calm end."""
    rng, world = Random(seed), SleeveWorld(seed)
    world.run(6)
    for _ in range(rng.randint(1, 4)):
        world.decide()
        world.run(rng.uniform(1, 30))
        if rng.random() < 0.5:
            world.journal.extend(world.curves.on_stop(e.StopRequested(world.now)))
        assert world.folded().holdings() == {key: amount for key, amount in world.portfolio.planned().items() if amount}
    wait_for_calm(world)
    world.judge_profits()
    return world


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_sleeves_add_up_to_the_account(chunk: int) -> None:
    """Through lost answers, late trades, deposits, other hands and crashes, each unit of each coin is somebody's, and so is each profit."""
    crossed = 0
    for seed in range(FIRST + chunk, FIRST + CASES, CHUNKS):
        try:
            crossed += story(seed).crossed
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    assert crossed
