"""Capital: how much of an account the weights are shares of."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.capital import Capital

D = Decimal
MONEY = st.decimals("0", "1e9", places=2)
SHARES = st.decimals("0.01", "1", places=2)


@pytest.mark.parametrize(
    ("terms", "equity", "used"),
    [
        (Capital(), "1000", "1000"),
        (Capital(fixed=D(500)), "1000", "500"),
        (Capital(fixed=D(5000)), "1000", "1000"),
        (Capital(share=D("0.5")), "1000", "500"),
        (Capital(buffer=D("0.01")), "1000", "990"),
        (Capital(floor=D(100)), "1000", "900"),
        (Capital(floor=D(2000)), "1000", "0"),
        (Capital(share=D("0.5"), floor=D(100)), "1000", "500"),
        (Capital(fixed=D(500), buffer=D("0.1")), "1000", "450"),
    ],
)
def test_worked_values(terms: Capital, equity: str, used: str) -> None:
    """Each key by itself and two together, on an account of 1000."""
    assert terms.of(D(equity)) == D(used)


@pytest.mark.parametrize(
    ("compounding", "equity", "used"), [("1", "1500", "1500"), ("0.5", "1500", "1250"), ("0", "1500", "1000"), ("0", "800", "800")]
)
def test_profit_is_put_to_work_as_far_as_is_wanted(compounding: str, equity: str, used: str) -> None:
    """Of what an account of 1000 has made, the wanted part is used again; what it has lost is gone."""
    assert Capital(compounding=D(compounding)).of(D(equity), D(1000)) == D(used)


@given(equity=MONEY, fixed=st.none() | MONEY, share=SHARES, buffer=st.decimals("0", "0.5", places=2), floor=MONEY)
def test_what_is_set_aside_stays_set_aside(equity: Decimal, fixed: Decimal | None, share: Decimal, buffer: Decimal, floor: Decimal) -> None:
    """Never more than any of the terms allows, and never less than nothing."""
    used = Capital(fixed=fixed, share=share, buffer=buffer, floor=floor).of(equity)
    assert 0 <= used <= equity * share
    assert used == 0 or equity - used >= floor
    assert fixed is None or used <= fixed
