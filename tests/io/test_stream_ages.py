"""Ages: connections of bars are ended and dialled again before the exchange ends them, where nothing is due."""

from datetime import timedelta
from itertools import pairwise

import pytest

from daemon.io.exchange import Unknown
from tests.io.tape_venue import TapeVenue
from tests.io.test_streams import SECOND, at, play


@pytest.mark.parametrize("timeframe", [SECOND, timedelta(minutes=1)])
def test_b7_connections_are_renewed_where_no_bar_is_due(timeframe: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten days, shortened: none is left for the exchange to end, each is renewed between two closes, and no bar is missing or late."""
    day_s = 24.0 * timeframe.total_seconds()
    monkeypatch.setattr("daemon.io.streams.RENEW_AFTER_S", day_s * 23 / 24)
    monkeypatch.setattr("daemon.io.streams.PROVEN_AFTER_S", day_s / 24)
    venue, symbols = TapeVenue(timeframe), ("A/USDT", "BB/USDT")
    heard = play(venue, symbols, 10 * day_s)
    ages = [later - earlier for earlier, later in pairwise(venue.dials)]
    assert len(ages) >= 9
    assert all(day_s * 23 / 24 <= age < day_s + 2 for age in ages)
    for symbol in symbols:
        assert heard.is_the_venues(symbol, 10 * day_s - timeframe.total_seconds())
        assert [reason for _, reason in heard.losses(symbol)] == ["opening"]
        assert max(heard.delays_s(symbol)[1:]) < 1.0
    if timeframe > SECOND:
        assert all(3.0 <= dialled % 60 <= 56.0 for dialled in venue.dials[1:])


def test_b7_a_connection_that_cannot_be_renewed_is_polled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused after it was ended in order to be renewed, its bars come by REST, as after any end."""
    monkeypatch.setattr("daemon.io.streams.RENEW_AFTER_S", 300.0)
    venue = TapeVenue(timedelta(minutes=1))
    heard = play(venue, ("A/USDT",), 1200, at(200, lambda: setattr(venue, "refuse", Unknown("refused"))))
    assert len(venue.dials) > 5
    assert heard.is_the_venues("A/USDT", 1140)
    assert max(heard.delays_s("A/USDT")[1:]) < 1.0
