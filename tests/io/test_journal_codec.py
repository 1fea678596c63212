"""What is written of a value is the value: exact round trips, by property."""

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.events import (
    FlowBooked,
    OrderClosed,
    OrderFilled,
    OrderGivenUp,
    OrderNotFound,
    OrderNotSent,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
    WaveSettled,
)
from daemon.core.model import Cause, Decision, Fill, Flow, Money, Order, OrderReport, Side, Status, TargetWeights
from daemon.io.journal import JournalDamaged, OrderFact
from daemon.io.journal.codec import micros, moment, wave_from_json, wave_to_json
from daemon.io.journal.rows import (
    decision_from,
    decision_row,
    fill_from,
    fill_row,
    flow_from,
    flow_row,
    order_event_from,
    order_event_row,
    order_from,
    order_row,
    unsealed,
)
from tests.io.journal_facts import START, a_decision, a_settling, an_order

HERE = Path("momo.sqlite")

moments = st.integers(0, 2**53).map(moment)
texts = st.text(max_size=12)
signed = st.decimals(allow_nan=False, allow_infinity=False)
positive = st.decimals(min_value=Decimal("1E-18"), max_value=Decimal("1E+18"), allow_nan=False, allow_infinity=False).filter(
    lambda d: d > 0
)
floats = st.floats(allow_nan=False)
finite = st.floats(allow_nan=False, allow_infinity=False)
sides, statuses = st.sampled_from(Side), st.sampled_from(Status)
by_symbol = st.dictionaries(texts, finite, max_size=4)
reasons = st.dictionaries(texts, texts, max_size=3)

fills = st.builds(
    Fill,
    order_id=texts,
    venue_id=texts,
    trade_id=texts,
    symbol=texts,
    side=sides,
    amount=positive,
    price=positive,
    cost=positive,
    fees=st.lists(st.builds(Money, signed, texts), max_size=2).map(tuple),
    at=moments,
)
orders = st.builds(
    Order,
    id=texts,
    symbol=texts,
    side=sides,
    amount=positive,
    price=positive,
    reserve=positive,
    decision_id=texts,
    attempt=st.integers(0, 2**40),
    at=moments,
)
reports = st.builds(
    OrderReport,
    order_id=texts,
    venue_id=texts,
    symbol=texts,
    side=sides,
    status=statuses,
    amount=signed,
    filled=signed,
    cost=signed,
    at=moments,
    fills=st.lists(fills, max_size=2).map(tuple),
)
order_facts: st.SearchStrategy[OrderFact] = st.one_of(
    st.builds(OrderSent, texts, moments),
    st.builds(OrderReported, reports, texts, moments),
    st.builds(OrderRefused, texts, texts, texts, moments),
    st.builds(OrderNotSent, texts, texts, moments),
    st.builds(OrderUnknown, texts, texts, moments),
    st.builds(OrderNotFound, texts, moments, moments),
    st.builds(OrderGivenUp, texts, texts, moments),
    st.builds(OrderClosed, texts, texts, texts, signed, signed, moments),
)
targets = st.builds(
    TargetWeights,
    by_symbol,
    st.frozensets(texts, max_size=3),
    st.dictionaries(texts, st.dictionaries(texts, floats, max_size=3), max_size=3),
)
decisions = st.builds(
    Decision,
    texts,
    moments,
    by_symbol,
    st.frozensets(texts, max_size=3),
    st.dictionaries(texts, targets, max_size=2),
    moments,
    st.sampled_from(Cause),
    st.none() | moments,
)
waves = st.builds(
    WaveSettled,
    decision=decisions,
    equity=signed,
    sent=st.integers(0, 500),
    filled=st.integers(0, 500),
    refused=reasons,
    left=reasons,
    targets=by_symbol,
    off_target=by_symbol,
    cost_bps=floats,
    took_ms=st.integers(0, 10**9),
    at=moments,
    cost_parts=by_symbol,
    stages=by_symbol,
)


@given(moments)
def test_a_moment_keeps_its_microsecond(at: datetime) -> None:
    """Times go through integers: no float loses their last digits."""
    assert moment(micros(at)) == at


@given(order_facts)
def test_what_is_known_of_an_order_comes_back(fact: OrderFact) -> None:
    """Every kind of fact of an order, reports with their trades included; Decimals digit for digit."""
    back = order_event_from(order_event_row(fact), HERE)
    assert back == fact
    assert repr(back) == repr(fact)


@given(orders)
def test_an_intent_comes_back(order: Order) -> None:
    """The order that is resolved after a crash is the order that was meant, digit for digit."""
    assert repr(order_from(order_row(order), HERE)) == repr(order)


@given(fills, moments)
def test_a_fill_comes_back(fill: Fill, at: datetime) -> None:
    """Trades keep their amounts, fees and the venue's moment, digit for digit."""
    assert repr(fill_from(fill_row(OrderFilled(fill, at)), HERE)) == repr(fill)


@given(st.builds(Flow, texts, texts, signed, texts, moments), moments)
def test_a_flow_comes_back(flow: Flow, at: datetime) -> None:
    """Flows keep their sign and digits."""
    assert repr(flow_from(flow_row(FlowBooked(flow, at)), HERE)) == repr(flow)


@given(decisions)
def test_a_decision_comes_back(decision: Decision) -> None:
    """Weights, what is kept, and every signal of every strategy: floats bit for bit."""
    assert decision_from(decision_row(decision), HERE) == decision


@given(waves)
def test_a_settled_wave_comes_back(wave: WaveSettled) -> None:
    """The summary of a rebalance, with the decision it belongs to."""
    assert wave_from_json(wave.decision, wave_to_json(wave), wave.at) == wave


def test_a_number_that_is_none_does_not_stop_the_record() -> None:
    """A cost that could not be measured (NaN) is written and read as such."""
    wave = replace(a_settling(a_decision()), cost_bps=float("nan"))
    assert math.isnan(wave_from_json(wave.decision, wave_to_json(wave), wave.at).cost_bps)


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    """Whatever zone a moment is given in, it is kept in UTC."""
    assert moment(micros(START.astimezone(timezone(timedelta(hours=-5))))) == START


def test_every_column_of_a_row_is_under_its_seal() -> None:
    """No column can change, nor a row move to another table, without being noticed."""
    row = order_row(an_order())
    assert unsealed("orders", row, HERE) == row[:-1]
    for column in range(len(row)):
        with pytest.raises(JournalDamaged, match=r"momo\.sqlite: .* orders is not as it was written"):
            unsealed("orders", (*row[:column], "other", *row[column + 1 :]), HERE)
    with pytest.raises(JournalDamaged):
        unsealed("fills", row, HERE)
