"""A log line as a value, and how numbers are written in one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Line:
    """One log line: level, stable name, facts."""

    level: Severity
    name: str
    fields: Mapping[str, object]


def digits(value: float) -> float:
    """Six significant digits, as many as a reader compares."""
    return float(f"{value:.6g}")
