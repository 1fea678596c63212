"""ccxt is what it is without us, except for when its exchanges are loaded.

Tried in processes of their own, since a process loads it once.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
OURS: Final = "from daemon.io.ccxt_library import ccxt"
THEIRS: Final = "import ccxt, ccxt.async_support, ccxt.pro"
# Of every make: built on another, with a class in one package only, with signatures of its own, with another's rules at another address.
EXCHANGES: Final = ("binance", "binanceusdm", "binanceus", "bit2c", "bybiteu", "coinbase", "gateeu", "hyperliquid", "kraken", "okx")
FACTS: Final = f"""
import hashlib, json, sys
from ccxt.base import errors
whole = sum(name.startswith("ccxt.") and name.count(".") < 3 for name in sys.modules)
packages = (ccxt, ccxt.async_support, ccxt.pro)
facts = {{"__all__": [getattr(package, "__all__", 0) for package in packages], "exchanges": [package.exchanges for package in packages]}}
for package in packages:
    for name in {EXCHANGES}:
        kind = getattr(package, name, None)
        if kind is None:
            facts[f"{{package.__name__}}.{{name}}"] = "none"
            continue
        described = json.dumps(kind().describe(), default=lambda value: value.__name__, sort_keys=True)
        digest = hashlib.sha256(described.encode()).hexdigest()
        facts[f"{{package.__name__}}.{{name}}"] = [[f"{{base.__module__}}.{{base.__qualname__}}" for base in kind.__mro__], digest]
    same = [getattr(package, name) is getattr(errors, name) for name in errors.__all__ if hasattr(package, name)]
    facts[f"errors of {{package.__name__}}"] = [len(same), all(same)]
    facts[f"never in {{package.__name__}}"] = hasattr(package, "binanse")
import ccxt.static_dependencies.keccak as keccak
facts["keccak"] = keccak.SHA3(b"").hex()
print(json.dumps([whole, facts]))
"""


def said(*lines: str, path: Path | None = None) -> Any:
    """The last line, as JSON, that a fresh Python says to a program; `path` is where it looks first."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [path, ROOT] if path else [ROOT]))}
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines)], env=environ, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_ccxt_is_the_same_and_loads_less() -> None:
    """The classes of exchanges, what they say of themselves and the errors are those of ccxt loaded whole, of which most was left out."""
    (less, ours), (more, theirs) = said(OURS, FACTS), said(THEIRS, FACTS)
    assert ours == theirs
    assert more > 300
    assert less < 50


def test_every_way_of_asking_leads_to_the_class() -> None:
    """An exchange's name is its class however it was imported, also where its module was loaded first."""
    ways = [
        "from ccxt.pro.binanceusdm import binanceusdm as first",
        "import ccxt.pro.binanceus as second",
        "from ccxt.pro import binancecoinm as third",
        "import ccxt.pro.kraken; fourth = ccxt.pro.kraken",
        "fifth = ccxt.async_support.bit2c",
        "asked = [first, second, third, fourth, fifth]",
        "known = [ccxt.pro.binanceusdm, ccxt.pro.binanceus, ccxt.pro.binancecoinm, ccxt.pro.kraken, ccxt.async_support.bit2c]",
        "import json; print(json.dumps([[kind().id for kind in asked], asked == known]))",
    ]
    assert said(OURS, *ways) == [["binanceusdm", "binanceus", "binancecoinm", "kraken", "bit2c"], True]


def test_a_ccxt_that_is_written_otherwise_is_loaded_whole(tmp_path: Path) -> None:
    """Where a package has no line of the kind that is known, it runs as it stands."""
    for package in ("ccxt", "ccxt/async_support", "ccxt/pro"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("from .kraken import kraken as kraken\n")
        (tmp_path / package / "kraken.py").write_text("class kraken: ...\n")
    loaded = "import json, sys; print(json.dumps(['ccxt.pro.kraken' in sys.modules, ccxt.pro.kraken.__name__, hasattr(ccxt, 'okx')]))"
    assert said(OURS, loaded, path=tmp_path) == [True, "kraken", False]
