"""Which hosts a configuration implies."""

from typing import Any

import pytest

from daemon.io.ccxt_address import Address, address
from daemon.io.ccxt_library import ccxt
from daemon.io.exchange import Fatal

LOCAL = {"public": "http://127.0.0.1:80/api/v3", "private": "http://127.0.0.1:80/api/v3", "ws": {"spot": "ws://127.0.0.1:81/stream"}}
OWN: dict[str, Any] = ccxt.pro.binance().urls


def binance(given: dict[str, Any], *, sandbox: bool) -> Address:
    return address(OWN, given, venue="binance", hostname="", sandbox=sandbox)


def test_live_is_the_venues_own_domain() -> None:
    """Without words of the user live calls the venue, in production, and nobody else."""
    where = binance({}, sandbox=False)
    assert where.switch is None
    assert where.implies("https://api.binance.com/api/v3/time")
    assert where.implies("wss://stream.binance.com:9443/ws/0")
    assert not where.implies("https://testnet.binance.vision/api/v3/time")
    assert not where.implies("https://api.binance.com.evil.example/api/v3/time")


def test_sandbox_is_the_test_network() -> None:
    """Sandbox mode calls the venue's test network and no production host."""
    where = binance({}, sandbox=True)
    assert where.switch == "set_sandbox_mode"
    assert where.implies("https://testnet.binance.vision/api/v3/time")
    assert where.implies("wss://ws-api.testnet.binance.vision/ws-api/v3")
    for production in ("https://api.binance.com/api/v3/time", "wss://stream.binance.com:9443/ws/0", "https://api1.binance.com/api/v3/time"):
        assert not where.implies(production)


@pytest.mark.parametrize("key", ["api", "test"])
def test_one_server_of_ones_own_in_sandbox_mode(key: str) -> None:
    """Either key addresses another server in sandbox mode, and then nobody else is called."""
    where = binance({key: LOCAL}, sandbox=True)
    assert where.switch == "set_sandbox_mode"
    urls: Any = where.urls["test"]
    assert urls["public"] == LOCAL["public"]
    assert where.hosts == {"127.0.0.1:80", "127.0.0.1:81"}
    assert not where.implies("https://testnet.binance.vision/api/v3/time")


def test_test_goes_before_api() -> None:
    """A file that names both is meant for both modes: each takes its own."""
    other = {"public": "http://127.0.0.2:82/api/v3"}
    assert binance({"api": other, "test": LOCAL}, sandbox=True).hosts == {"127.0.0.1:80", "127.0.0.1:81"}
    assert binance({"api": other, "test": LOCAL}, sandbox=False).hosts == {"127.0.0.2:82"}


def test_a_server_of_ones_own_leaves_nothing_at_the_venue() -> None:
    """In live mode too: what the user's urls do not name (margin, futures, a websocket) is not called at the real venue instead."""
    where = binance({"api": {"public": LOCAL["public"], "private": LOCAL["private"]}}, sandbox=False)
    for silent in ("https://api.binance.com/sapi/v1/x", "https://fapi.binance.com/fapi/v1/x", "wss://stream.binance.com:9443/ws/0"):
        assert not where.implies(silent)
    assert "stream.binance.com:9443" in where.unnamed


def test_another_door_of_the_same_venue_keeps_the_rest() -> None:
    """A user who prefers api1.binance.com keeps the venue's websockets."""
    where = binance({"api": {"public": "https://api1.binance.com/api/v3"}}, sandbox=False)
    assert where.implies("https://api1.binance.com/api/v3/time")
    assert where.implies("wss://stream.binance.com:9443/ws/0")


@pytest.mark.parametrize("key", ["api", "test"])
@pytest.mark.parametrize("host", ["api.binance.com", "api1.binance.com"])
def test_sandbox_refuses_a_production_host(key: str, host: str) -> None:
    """No way of writing it makes sandbox mode call production."""
    with pytest.raises(Fatal, match=f"{host} is a production host"):
        binance({key: {**LOCAL, "private": f"https://{host}/api/v3"}}, sandbox=True)


def test_demo_where_the_user_names_it() -> None:
    """`urls.demo` alone means demo trading."""
    where = binance({"demo": LOCAL}, sandbox=True)
    assert (where.switch, list(where.urls)) == ("enable_demo_trading", ["demo"])


def test_demo_where_the_test_network_is_closed() -> None:
    """USD-M futures have moved to demo trading."""
    where = address(ccxt.pro.binanceusdm().urls, {}, venue="binanceusdm", hostname="", sandbox=True)
    assert where.switch == "enable_demo_trading"
    assert where.implies("https://demo-fapi.binance.com/fapi/v1/time")
    assert not where.implies("https://fapi.binance.com/fapi/v1/time")


def test_no_test_network_is_said() -> None:
    """A venue without one cannot be traded in sandbox mode, and the sentence says what can be done."""
    with pytest.raises(Fatal, match="kraken has no test environment: use mode paper"):
        address(ccxt.pro.kraken().urls, {}, venue="kraken", hostname="", sandbox=True)
    assert address(ccxt.pro.kraken().urls, {"api": LOCAL}, venue="kraken", hostname="", sandbox=True).hosts == {
        "127.0.0.1:80",
        "127.0.0.1:81",
    }


def test_a_hostname_is_filled_in() -> None:
    """Venues whose URLs leave the host open are called at the one that the user names."""
    own = ccxt.pro.okx().urls
    assert address(own, {}, venue="okx", hostname="okx.example", sandbox=False).implies("https://okx.example/api/v5/x")


def test_a_url_at_the_wrong_depth_is_refused() -> None:
    """A user who forgets `api` above `public` is told so, instead of being led to the real venue."""
    with pytest.raises(Fatal, match=r"exchange\.ccxt\.urls\.public is not looked at: name it below api, test, demo"):
        binance({"public": LOCAL["public"]}, sandbox=True)
