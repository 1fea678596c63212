"""USD-M futures as servers of its protocol tell of them: streams bare or wrapped, wallets of several assets, fees in any of them."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from daemon.core.ledger import OPENING, Ledger
from daemon.core.model import Flow, OrderReport, from_epoch_ms
from daemon.io import ccxt_usdm as usdm
from daemon.io.ccxt_client import Guarded
from daemon.io.ccxt_library import ccxt
from daemon.io.exchange import AccountNews, SettingsMoved, Unknown

MS: Final = 1_767_225_600_000
IDS: Final = {"BTCUSDT": "BTC/USDT:USDT"}
Json = dict[str, Any]
ORDER: Final[Json] = {
    "s": "BTCUSDT",
    "c": "r1",
    "i": 9,
    "S": "BUY",
    "X": "FILLED",
    "x": "TRADE",
    "q": "1",
    "z": "1",
    "T": MS,
    "ap": "2",
    "rp": "0.5",
    "l": "1",
    "L": "2",
    "n": "0.1",
    "N": "USDT",
    "t": 7,
}
NEWS: Final[Json] = {"e": "ORDER_TRADE_UPDATE", "E": MS, "T": MS, "o": ORDER}
MOVED: Final[Json] = {"e": "ACCOUNT_CONFIG_UPDATE", "E": MS, "T": MS, "ac": {"s": "BTCUSDT", "l": 25}}
EXPIRED: Final[Json] = {"e": "listenKeyExpired", "E": MS, "listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1"}


def wrapped(message: Json) -> Json:
    """The message as a combined stream has it."""
    return {"stream": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1", "data": message}


def heard(*messages: Json) -> list[AccountNews]:
    """What the reader tells of these messages."""
    news: list[AccountNews] = []
    read = usdm.Account(IDS, news.append)
    assert all(read(message) for message in messages)
    return news


def test_a_combined_stream_tells_what_a_bare_one_tells() -> None:
    """A server whose user stream wraps its messages is heard like one that sends them bare."""
    assert heard(wrapped(NEWS), wrapped(MOVED)) == heard(NEWS, MOVED)
    first, second = heard(wrapped(NEWS), wrapped(MOVED))
    assert isinstance(first, OrderReport)
    assert first.fills[0].trade_id == "7"
    assert second == SettingsMoved()


@pytest.mark.parametrize("message", [EXPIRED, wrapped(EXPIRED)], ids=["bare", "wrapped"])
def test_an_expired_key_ends_the_stream(message: Json) -> None:
    """However it is told that the listen key has expired, the stream ends, and a fresh one is asked for."""
    with pytest.raises(ccxt.NetworkError, match="expired"):
        heard(message)


async def test_an_asset_that_is_also_a_market_s_base_is_no_position() -> None:
    """Fees paid in BNB, and BNB that is moved into the account, leave a position in BNB what its trades have made of it."""
    bnb = {"BNBUSDT": "BNB/USDT:USDT"}
    news: list[AccountNews] = []
    usdm.Account(bnb, news.append)({**NEWS, "o": {**ORDER, "s": "BNBUSDT", "N": "BNB"}})
    report = cast("OrderReport", news[0])
    rows = [
        {"incomeType": "TRANSFER", "asset": "BNB", "symbol": "", "income": "3", "tranId": 1, "time": MS + 2},
        {"incomeType": "FUNDING_FEE", "asset": "USDT", "symbol": "BNBUSDT", "income": "-1", "tranId": 2, "time": MS + 3},
    ]

    async def listed(_request: Json) -> list[Json]:
        return rows

    flows = await usdm.incomes(cast("Guarded", SimpleNamespace(fapiPrivateGetIncome=listed)), MS, bnb)
    ledger = Ledger()
    ledger.flow(Flow("opening", "USDT", Decimal(100), OPENING, from_epoch_ms(MS - 1)))
    for fill in report.fills:
        ledger.book(fill)
    for flow in flows:
        ledger.flow(flow)
    answer = {
        "assets": [{"asset": "USDT", "walletBalance": "99.5"}, {"asset": "BNB", "walletBalance": "2.9"}],
        "positions": [{"symbol": "BNBUSDT", "positionAmt": "1", "notional": "3", "unrealizedProfit": "0.5"}],
    }
    shown = usdm.balances(answer, {"BNB/USDT:USDT": {"id": "BNBUSDT", "base": "BNB", "quote": "USDT"}})
    assert ledger.positions()["BNB/USDT:USDT"][0] == shown["BNB"].total == 1
    assert ledger.wallet("USDT") == shown["USDT"].total == Decimal("99.5")
    assert shown["BNB coins"].total == Decimal("2.9"), "what is there beside is told as well"


def test_an_account_is_empty_only_where_it_says_so() -> None:
    """No wallets and a sum of 0 are an account without money; no wallets and no sum, or another one, are no answer."""
    assert usdm.balances({"totalWalletBalance": "0.00000000", "assets": [], "positions": []}, {}) == {}
    for said in ({}, {"totalWalletBalance": "5"}, {"totalWalletBalance": ""}):
        with pytest.raises(Unknown, match="no wallet"):
            usdm.balances({**said, "assets": [], "positions": []}, {})
