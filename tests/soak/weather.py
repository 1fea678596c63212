"""Weather: a fault script for hours at the embedded exchange, at a low rate: mostly all is well, and every few minutes something is not.

Rule: the seed gives the script and nothing else does. What changes the books behind the daemon's back is left out: they are compared.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

Fault = dict[str, Any]

# Always there, and rarely felt: shares of requests and of messages.
USUAL: Final[Sequence[Mapping[str, Any]]] = (
    {"do": "accept_drop", "probability": 0.02},
    {"do": "accept_502", "probability": 0.02},
    {"do": "accept_late", "delay": "3s", "probability": 0.02},
    {"do": "arrive_late", "delay": "2s", "probability": 0.01},
    {"do": "lose", "probability": 0.02},
    {"do": "reject", "code": -2013, "on": "order.status", "probability": 0.05},
    {"do": "http", "status": 503, "body": "", "on": "all", "probability": 0.005},
    {"do": "http", "truncated": True, "on": "private", "probability": 0.002},
    {"do": "fill", "share": 0.4, "after": "4s", "probability": 0.05},
    {"do": "ws.lose", "probability": 0.002},
    {"do": "ws.dup", "probability": 0.01},
    {"do": "ws.reorder", "probability": 0.01},
    {"do": "ws.delay", "delay": "1s", "probability": 0.01},
    {"do": "ws.garbage", "body": '{"e":', "probability": 0.0002},
)
LIMITED: Final[Mapping[str, Any]] = {
    "do": "http",
    "status": 429,
    "headers": {"Retry-After": 5},
    "body": '{"code":-1003,"msg":"Too many requests."}',
    "on": "private",
}
# What comes and goes: each for so many seconds at most.
SPELLS: Final[Sequence[tuple[float, Callable[[Random], Fault]]]] = (
    (20, lambda _: {"do": "ws.mute", "on": "market"}),
    (40, lambda _: {"do": "ws.mute", "on": "user"}),
    (30, lambda _: {"do": "ws.blackhole"}),
    (20, lambda _: {"do": "ws.freeze"}),
    (40, lambda chance: {"do": "lag", "of": chance.choice(["orders", "trades", "balances"]), "delay": f"{chance.randint(3, 10)}s"}),
    (40, lambda _: {"do": "http", "status": 503, "body": "", "on": "all"}),
    (20, lambda _: dict(LIMITED)),
    (20, lambda chance: {"do": "market", "halted": True, "symbol": chance.choice(["BTC/USDT", "ETH/USDT", "SOL/USDT"])}),
    (40, lambda chance: {"do": "clock", "offset": chance.choice(["+700ms", "-700ms"])}),
)
# What happens at once.
BLOWS: Final[Sequence[Callable[[Random], Fault]]] = (
    lambda chance: {"do": "ws.close", "on": chance.choice(["market", "user"])},
    lambda chance: {"do": "ban", "for": f"{chance.randint(5, 30)}s"},
)
APART_S: Final = 90.0  # on average
CALM_S: Final = 120.0  # at both ends nothing comes or goes


def weather(seed: int, hours: float) -> dict[str, Any]:
    """The script of a seed."""
    chance = Random(f"{seed}/weather")
    faults: list[Fault] = [dict(fault) for fault in USUAL]
    at, end = CALM_S, hours * 3600 - CALM_S
    while (at := at + chance.expovariate(1 / APART_S)) < end:
        if chance.random() < 0.2:
            faults.append({**chance.choice(BLOWS)(chance), "from": f"{at:.0f}s"})
            continue
        longest, drawn = chance.choice(SPELLS)
        until = at + chance.uniform(3.0, longest)
        faults.append({**drawn(chance), "from": f"{at:.0f}s", "until": f"{until:.0f}s"})
    return {"seed": seed, "faults": faults}
