"""Liquidation of an account in memory: what is not covered is taken over, and nothing else is."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.liquidation import Position, Takeover, takeover
from daemon.core.model import ZERO, Side
from daemon.core.paper import PaperAccount
from tests.core.builders import after
from tests.core.test_swaps import BTC, ETH, swap

D = Decimal
CENT = D("0.01")
amounts = st.decimals(D("-50"), D("50"), places=3)
marks = st.decimals(D("0.5"), D("5000"), places=2)


def covered(cash: Decimal, positions: Sequence[Position]) -> bool:
    """Whether the money behind all positions is more than what they must keep."""
    return cash + sum((each.value for each in positions), ZERO) > sum((each.kept for each in positions), ZERO)


@given(st.decimals(D("-100000"), D("100000"), places=2), amounts, amounts, marks, marks)
def test_positions_are_taken_over_until_what_is_left_is_covered(
    cash: Decimal, btc: Decimal, eth: Decimal, btc_mark: Decimal, eth_mark: Decimal
) -> None:
    """What is covered is left alone, else the largest goes first; the last one takes no more than there is, and says when it was due."""
    held = [Position(swap(BTC), btc, btc_mark), Position(swap(ETH), eth, eth_mark)]
    positions = [each for each in held if each.held]
    while (taken := takeover(cash, positions)) is not None:
        assert not covered(cash, positions)
        assert abs(taken.position.value) == max(abs(each.value) for each in positions)
        doomed, others = taken.position, [each for each in positions if each is not taken.position]
        if taken.due_at > 0:
            away = CENT * (1 if doomed.held > 0 else -1)
            kept = [replace(doomed, mark=taken.due_at + away), *others]
            if taken.due_at + away > 0 and abs(doomed.value) < 5000 and abs(kept[0].value) < 5000:  # within one bracket
                assert covered(cash, kept)
        cash += doomed.held * taken.price - taken.fee
        positions = others
        if not positions and abs(doomed.held) * swap(BTC).price_tick < cash + 1:
            assert cash >= 0 or taken.price == swap(BTC).price_tick
    assert not positions or covered(cash, positions)


def test_the_paper_account_closes_what_is_not_covered() -> None:
    """A long of three times the equity whose mark fell by a third is sold at that, with a fee, and its order says whose it is."""
    account = PaperAccount({"USDT": D(1000)}, fee=ZERO, slippage_bps=ZERO)
    account.pay("USDT", D(-3000))
    account.pay("BTC", D(30))
    market = swap(BTC)
    assert account.due([market], lambda _: D(68)) is None
    assert account.due([market], lambda _: None) is None
    taken = account.due([market], lambda _: D("66.90"))
    assert isinstance(taken, Takeover)
    assert D("66.9") < taken.due_at < D("67")
    (report,) = account.take_over(taken, after(1))
    (fill,) = report.fills
    assert (report.side, fill.amount, fill.price, report.order_id.startswith("autoclose-")) == (Side.SELL, D(30), D("66.90"), True)
    assert account.held("BTC") == 0
    assert account.held("USDT") == D(1000) - 3000 + 30 * D("66.9") - taken.fee
    assert PaperAccount.load(account.dump(), fee=ZERO, slippage_bps=ZERO).trades(BTC, after(0)) == (fill,)
