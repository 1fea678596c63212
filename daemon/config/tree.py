"""Tree: reading a configuration of which nothing is known yet.

Rule: what is missing or of the wrong type is None; that is said elsewhere.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pydantic import BaseModel


def at(tree: Any, *loc: str | int) -> Any:
    """What lies at a place of a mapping, list or section; None where nothing does."""
    for key in loc:
        if isinstance(tree, BaseModel):
            tree = getattr(tree, str(key), None)
        elif isinstance(tree, Mapping):
            tree = tree.get(key)
        elif isinstance(tree, list | tuple) and isinstance(key, int):
            tree = tree[key] if key < len(tree) else None
        else:
            return None
    return tree


def finite(value: Any) -> Fraction | None:
    """A finite number, exactly; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return Fraction(value) if Decimal(value).is_finite() else None
