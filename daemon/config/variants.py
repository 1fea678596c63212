"""Variants: a configuration file, read once, and the same with other values at some of its keys.

Rule: a variant is judged by every rule that the file itself is judged by, and a sentence about it names what was changed as it was written.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from daemon.config.accounts import each_account
from daemon.config.loading import chosen, overridden, validated
from daemon.config.models import Config
from daemon.config.overrides import Loc
from daemon.config.sentences import ConfigError, sentence

Changes = Mapping[str, Any]  # by the path of a key as it was written, the tree of its value

WORD: Final = re.compile(r"\[([0-9]{1,5})\]|\.?([^.\[\]]+)")


class Variants:
    """The variants of one file, of one of its accounts. It may be sent to another process: it holds nothing of the environment."""

    def __init__(self, path: Path, environ: Mapping[str, str], account: str = "") -> None:
        """Read the file. Raises ConfigError: it is wrong as it stands."""
        self._path = path
        self._account = account
        self._tree, overrides, problems = overridden(path, environ)
        validated(path, self._tree, problems, overrides.variable_of)
        self.base = self.config({})

    def config(self, changes: Changes) -> Config:
        """The configuration with these values.

        Raises ConfigError: a path leads nowhere, or what it makes is wrong.
        """
        tree = deepcopy(self._tree)
        placed: dict[Loc, str] = {}
        for path, value in changes.items():
            loc = self._put(tree, path, deepcopy(value))
            beside = next((other for known, other in placed.items() if loc[: len(known)] == known or known[: len(loc)] == loc), None)
            if beside is not None:
                raise self._wrong(path, f"is changed by {beside} as well", "leave one of the two out")
            placed[loc] = path

        def given_by(wrong: Loc) -> str:
            found = [path for loc, path in placed.items() if wrong[: len(loc)] == loc] or list(placed.values())
            return " and ".join(_written(path, changes[path]) for path in found)

        whole = validated(self._path, tree, (), given_by if changes else lambda _: None)
        return chosen(self._path, each_account(whole), self._account)

    def _put(self, tree: Any, path: str, value: Any) -> Loc:
        """Put a value where a path leads to; where that is, as the loader names it."""
        words = self._words(path)
        place, loc = tree, Loc()
        for at, word in enumerate(words):
            key = self._key(place, word, path)
            loc = (*loc, key)
            if at == len(words) - 1:
                place[key] = value
            else:
                if isinstance(place, dict) and place.get(str(key)) is None:
                    place[key] = {}
                place = place[key]
        return loc

    def _words(self, path: str) -> list[str | int]:
        found = list(WORD.finditer(path))
        if not found or "".join(each[0] for each in found) != path or path.startswith("."):
            raise self._wrong(path, "is not the path of a key", "write it like strategies.momo.params.lookback, or strategies[0].share")
        return [int(number) if number else word for number, word in (each.groups() for each in found)]

    def _key(self, place: Any, word: str | int, path: str) -> str | int:
        """The key, or the place in a list, that a word of a path means."""
        if isinstance(place, dict) and isinstance(word, str):
            return word
        if not isinstance(place, list):
            raise self._wrong(
                path, "leads below a key that holds a single value", "write that key as a mapping in the file, or sweep it whole"
            )
        names = [each.get("name") if isinstance(each, dict) else None for each in place]
        if word in names:
            return names.index(word)
        index = int(word) if isinstance(word, int) or (word.isascii() and word.isdigit() and len(word) < 6) else len(place)
        if index < len(place):
            return index
        told = ", ".join(str(name) for name in names if name)
        raise self._wrong(path, f"has no entry {word}", f"the entries are {told}" if told else f"use a number below {len(place)}")

    def _wrong(self, path: str, what: str, remedy: str) -> ConfigError:
        return ConfigError([sentence(str(self._path), path, what, remedy)])


def _written(path: str, value: Any) -> str:
    """A change as it was written; of texts the path alone, as everywhere."""
    return f"{path}={value}" if isinstance(value, int | Decimal) and not isinstance(value, bool) else path
