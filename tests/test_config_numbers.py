"""Every number of a configuration, given as what is no number, or as one that nobody can mean."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest

from daemon.config import Config
from daemon.config.section import Section
from tests.test_config import SAMPLE, refusals, toy_registry

__all__ = ["toy_registry"]  # counts in this file too

NUMBERS = {int, float, Decimal, timedelta}
NONSENSE = ("-1", ".nan", ".inf", "-.inf", "1e999", "9" * 30, "'1'", "true", "[]", "{}", "1_0")


def kinds(annotation: Any) -> set[Any]:
    """The types that a union names."""
    inner = get_args(annotation)
    return {annotation}.union(*map(kinds, inner)) if inner else {annotation}


def numbers(section: type[Section], place: str = "") -> Iterator[str]:
    """The keys of a section that are numbers or lengths of time, and those of sections in it."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from numbers(field.annotation, f"{place}{name}.")
        elif kinds(field.annotation) & NUMBERS:
            yield place + name


def flow(keys: list[str], value: str) -> str:
    """YAML that gives each of these dotted keys the value."""
    heads = dict.fromkeys(key.partition(".")[0] for key in keys)
    parts = []
    for head in heads:
        under = [key.partition(".")[2] for key in keys if key.partition(".")[0] == head]
        parts.append(f"{head}: {value if under == [''] else flow(under, value)}")
    return "{" + ", ".join(parts) + "}"


# Of a length of time, one without a unit is refused as well; cooldown may be a number of bars, and is one.
KEYS = {section: sorted(numbers(Config.model_fields[section].annotation)) for section in ("risk", "execution")}  # type: ignore[arg-type]
KEYS["capital"] = ["cash_buffer", "cash_floor", "fixed", "share"]


def test_every_section_is_looked_through() -> None:
    """The keys that are tried are those that there are."""
    assert "breakers.price_spike.confirmations" in KEYS["risk"]
    assert {"cooldown", "approve_within", "raise_max"} <= set(KEYS["execution"])
    assert sum(map(len, KEYS.values())) > 50


@pytest.mark.parametrize("section", KEYS)
@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_is_refused_key_by_key(tmp_path: Path, section: str, value: str) -> None:
    """Each key is named in a sentence with its remedy, and nothing is raised."""
    keys = KEYS[section]
    text = "\n".join(line for line in SAMPLE.splitlines() if not line.startswith(f"{section}:"))
    said = refusals(tmp_path, f"{text}\n{section}: {flow(keys, value)}\n")
    places = {sentence.partition(" ")[0] for sentence in said}
    assert [key for key in keys if f"{section}.{key}" not in places] == []
