"""Strategy files as users write them: one that behaves, and one for every way of not behaving."""

from pathlib import Path
from typing import Final

HEAD: Final = """
import os, sys, time
from dataclasses import dataclass
import numpy as np
from daemon.core.indicators import SMA, Indicator, Momentum
from daemon.core.model import CLOSE, TargetWeights
from daemon.core.strategy import Strategy, check_integer

@dataclass(frozen=True)
class MineParams:
    length: int = 3
    def __post_init__(self):
        check_integer("length", self.length, 1, 100)

class Mine(Strategy):
    Params = MineParams
    def indicators(self):
        return {"average": SMA(self.params.length, len(self.universe.symbols))}
"""

FIRST: Final = "TargetWeights({view.slice.symbols[0]: 0.5})"

DECIDE: Final = {
    "behaves": f"return {FIRST}",
    "raises": "return TargetWeights({view.slice.symbols[0]: 1 / 0})",
    "nan": "return TargetWeights({view.slice.symbols[0]: float('nan')})",
    "unknown": "return TargetWeights({'DOGE/USDT': 0.5})",
    "percent": "return TargetWeights({symbol: 25.0 for symbol in view.slice.symbols})",
    "sleeps": "time.sleep(60)",
    "exits": "os._exit(7)",
    "leaves": "sys.exit(0)",
    "nonsense": "return {view.slice.symbols[0]: 0.5}",
    "imports": "import no_such_module",
    "prints": f"print('x' * 100_000); sys.stdout.flush(); return {FIRST}",
    "closes": "[os.close(fd) for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}')]; return None",
    "tells": "return TargetWeights({}, signals={'*': {name: 1.0 for name in os.environ}})",
    "hangs": "while True: pass",
    "spins": "sum(range(10**13))",
}


def text_of(kind: str, after: int = 0) -> str:
    """The text of a file whose class Mine does `kind`; before its `after`-th decision it behaves."""
    body = DECIDE[kind]
    return f"""{HEAD}
    asked = 0
    def decide(self, view):
        self.asked += 1
        if self.asked <= {after}:
            return {FIRST}
        {body}
"""


def written(folder: Path, kind: str, after: int = 0) -> Path:
    """The same as a file."""
    path = folder / f"{kind}.py"
    path.write_text(text_of(kind, after))
    return path
