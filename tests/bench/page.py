"""The tables of docs/performance.md that a bench writes: each between two marks, everything else is left as it stands."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "performance.md"


def busy() -> str:
    """How much else the machine had to do, which decides what the figures are worth."""
    load, cores = os.getloadavg()[1], os.cpu_count() or 1
    told = "" if load <= cores else "; a quiet one is several times as fast, and what waits for its turn (threads, processes) gains most"
    return f"Measured with {load:.0f} programs at work on {cores} cores in the last five minutes{told}."


def put(name: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Replace what stands between the marks of `name`. ValueError: the page has none."""
    text = page.read_text(encoding="utf-8")
    marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"{page} has no marks for {name}")
    page.write_text(marks.sub(lambda found: found[1] + "\n".join(lines) + found[2], text), encoding="utf-8")
