"""The `urls` that lead ccxt's binance classes to the venue.

Rule: every key that any mode of the class may use is here, so that not one request leaves loopback; what the venue does not speak
(options, margin, futures on spot and spot on futures) is answered 404 and counted.
"""

from __future__ import annotations

from typing import Any, Final

KINDS: Final = ("spot", "margin", "linear", "inverse", "stock", "option", "optionMarket", "optionPrivate", "papi")
# ccxt's names of the API families and the paths the real hosts have for them.
REST_PATHS: Final = {
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
    "fapiPublic": "/fapi/v1",
    "fapiPublicV2": "/fapi/v2",
    "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1",
    "fapiPrivateV2": "/fapi/v2",
    "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data",
    "dapiPublic": "/dapi/v1",
    "dapiPrivate": "/dapi/v1",
    "dapiPrivateV2": "/dapi/v2",
    "dapiData": "/futures/data",
    "eapiPublic": "/eapi/v1",
    "eapiPrivate": "/eapi/v1",
    "papi": "/papi/v1",
    "papiV2": "/papi/v2",
}


def ccxt_urls(url: str, ws_url: str, market: str = "spot") -> dict[str, Any]:
    """`urls` for ccxt's constructor; `url` and `ws_url` as http://HOST:PORT and ws://HOST:PORT, `market` the kind that is spoken there."""
    family = {name: url + path for name, path in REST_PATHS.items()}
    streams: dict[str, Any] = dict.fromkeys(KINDS, f"{ws_url}/refused/ws")
    streams["ws-api"] = dict.fromkeys(("spot", "linear", "inverse"), f"{ws_url}/refused/ws")
    if market == "spot":
        # ccxt takes a stream for spot only if its URL contains /stream.
        streams |= dict.fromkeys(("spot", "margin"), f"{ws_url}/stream")
        streams["ws-api"]["spot"] = f"{ws_url}/ws-api/v3"
    else:
        streams["linear"] = f"{ws_url}/ws"  # ccxt puts /public, /market or /private before the end
    return {mode: {**family, "ws": {**streams, "ws-api": dict(streams["ws-api"])}} for mode in ("api", "test", "demo")}


def needed(urls: dict[str, Any], market: str) -> dict[str, Any]:
    """Those of `ccxt_urls` that a configuration needs, for its modes live and paper (api) and sandbox (test)."""
    wanted = ("public", "private") if market == "spot" else tuple(name for name in REST_PATHS if name.startswith("fapiP"))
    found = {}
    for mode in ("api", "test"):
        streams = urls[mode]["ws"]
        kind = "spot" if market == "spot" else "linear"
        calls = {"ws-api": {"spot": streams["ws-api"]["spot"]}} if market == "spot" else {}
        found[mode] = {name: urls[mode][name] for name in wanted} | {"ws": {kind: streams[kind], **calls}}
    return found
