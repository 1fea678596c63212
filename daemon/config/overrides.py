"""Overrides: `REBALANCED__A__B=value` in the environment stands for `a: {b: value}` in the file.

Rule: a variable that fits nowhere is an error like a key that fits nowhere. The value is YAML.
"""

from collections.abc import Mapping
from typing import Any, Final

from daemon.config.values import Mistake
from daemon.config.yamltext import YamlMistake, parse

PREFIX: Final = "REBALANCED__"
# Below these, keys are the user's own and are taken as written; all others are lower case.
FREE: Final = (("exchange", "ccxt"), ("paper", "balances"))
Loc = tuple[str | int, ...]


class Overrides:
    """The variables that stand for keys, applied to the tree of a file."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        names = (name for name in environ if name.startswith(PREFIX))
        # A variable for a whole section comes before one for a key in it.
        self._variables = sorted(names, key=lambda name: (name.count("__"), name))
        self._environ = environ
        self._given: dict[Loc, str] = {}
        self._made: dict[Loc, str] = {}  # mappings that are there only because a key in them was given

    def apply(self, tree: dict[str, Any]) -> list[tuple[str, Mistake]]:
        """Put every value in its place; returns the variables that have none, and why."""
        refused = []
        for variable in self._variables:
            try:
                loc = self._put(tree, variable)
            except YamlMistake as error:
                refused.append((variable, Mistake((), error.what, error.remedy)))
            else:
                self._given[loc] = variable
        return refused

    def variable_of(self, loc: Loc) -> str | None:
        """The variable that gave the value at a place of the tree, or one around it."""
        known = self._made | self._given
        return next((known[loc[:length]] for length in range(len(loc), 0, -1) if loc[:length] in known), None)

    def _put(self, tree: dict[str, Any], variable: str) -> Loc:
        segments = variable.removeprefix(PREFIX).split("__")
        if not all(segments):
            raise YamlMistake("", "names no key", f"write {PREFIX}A__B for the key b of a")
        document = parse(self._environ[variable])
        if document.repeated:
            raise YamlMistake("", "has the same key twice", "keep one of the two")
        place: Any = tree
        loc: Loc = ()
        for segment in segments[:-1]:
            key = _key(place, segment, loc)
            loc = (*loc, key)
            if _opened(place, key):
                self._made[loc] = variable
            place = place[key]
        last = _key(place, segments[-1], loc)
        if (*loc, last) in self._given:
            raise YamlMistake("", f"gives the same key as {self._given[*loc, last]}", "unset one of them")
        if isinstance(last, int) and last == len(place):
            place.append(document.tree)
        else:
            place[last] = document.tree
        return (*loc, last)


def _key(place: Any, segment: str, loc: Loc) -> str | int:
    """The key or index that a part of a variable's name means at a place."""
    if isinstance(place, list):
        if segment.isascii() and segment.isdigit() and len(segment) < 6 and int(segment) <= len(place):
            return int(segment)
        raise YamlMistake("", "does not name an entry of the list", f"use a number from 0 to {len(place)} there")
    if not isinstance(place, dict):
        raise YamlMistake("", "lies below a key that holds a single value", "correct the name of the variable")
    if any(loc[: len(free)] == free for free in FREE):
        return next((key for key in place if key.lower() == segment.lower()), segment)
    return segment.lower()


def _opened(place: Any, key: str | int) -> bool:
    """Whether a mapping had to be put at a key, since there was nothing."""
    if isinstance(key, int):
        absent = key == len(place)
        if absent:
            place.append({})
    else:
        absent = place.get(key) is None
        if absent:
            place[key] = {}
    return absent
