"""Values as nobody should send them: a tree of JSON with some of its leaves, branches and keys replaced, dropped or doubled.

`REBALANCED_CASES` says how many inputs of each kind are tried; a slice of them runs with the suite.
"""

import os
from copy import deepcopy
from random import Random
from typing import Any, Final

CASES: Final = int(os.environ.get("REBALANCED_CASES", "0"))
SEED: Final = int(os.environ.get("REBALANCED_SEED", "1"))

POISON: Final[tuple[Any, ...]] = (
    None, True, False, "", " ", "0", "-1", "1", "NaN", "nan", "Infinity", "-Infinity", "1e400", "1e-400", "-0", "0x10", "1_000", "١",
    0, -1, 1, 0.1, -0.5, 1e308, -1e308, float("nan"), float("inf"), 10**40, -(10**40), 2**63, "9" * 400, "x" * 5000,
    [], {}, [[]], [None], [{}], {"": None}, {"code": -1}, "BTC/USDT", "BUY", "FILLED", "\x00", "\ud800", "<script>", "${HOME}", "../../x",
    "🙂",
)  # fmt: skip


def cases(usual: int) -> int:
    """How many to try: what was asked for, else the usual slice."""
    return CASES or usual


def mutated(value: Any, chance: Random, most: int = 3) -> Any:
    """A copy of a tree with one to `most` of its places changed."""
    tree = {"": deepcopy(value)}
    for _ in range(chance.randint(1, most)):
        places = list(_places(tree))
        if not places:
            break
        owner, key = chance.choice(places)
        _change(owner, key, chance)
    return tree.get("")


def _places(tree: Any) -> Any:
    """Every place of a tree that holds a value: its owner and the key there."""
    stack = [tree]
    while stack:
        owner = stack.pop()
        keys = owner.keys() if isinstance(owner, dict) else range(len(owner))
        for key in list(keys):
            yield owner, key
            if isinstance(owner[key], dict | list):
                stack.append(owner[key])


def _change(owner: Any, key: Any, chance: Random) -> None:
    what = chance.random()
    if what < 0.7:
        owner[key] = deepcopy(chance.choice(POISON))
    elif what < 0.85:
        del owner[key]
    elif isinstance(owner, list):
        owner.append(deepcopy(owner[key]))
    else:
        owner[f"{key}x"] = owner.pop(key)
