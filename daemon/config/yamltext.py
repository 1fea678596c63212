"""YAML as text becomes a tree of dicts, lists, texts, ints, Decimals, booleans and None.

Rule: YAML 1.2's core schema and nothing beyond it. A number keeps its digits; NO is a text, 12:30 is a text, a date is a text;
no tag builds an object, no anchor hides a value elsewhere, no key stands twice.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from daemon.config.values import Mistake

MAX_TEXT: Final = 1_000_000  # characters; a universe of 1000 symbols takes 15,000
MAX_DEPTH: Final = 20  # the configuration has 5 levels, ccxt's urls one or two more
MAX_DIGITS: Final = 60  # of one number; more is a mistake, and slow
CORE: Final = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    ("float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")),
)
PREFIX: Final = "tag:yaml.org,2002:"


class YamlMistake(Exception):
    """A text that is not YAML, or is more than is wanted of it; `place` is a line or a path."""

    def __init__(self, place: str, what: str, remedy: str) -> None:
        super().__init__(place, what, remedy)
        self.place, self.what, self.remedy = place, what, remedy


class CoreSchema(VersionedResolver):
    """The tags of plain scalars by YAML 1.2's core schema; ruamel's own adds dates, 1_000 and 0b1."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that states none."""
        if kind is ScalarNode:
            plain = implicit[0]
            name = next((name for name, form in CORE if form.fullmatch(value)), "str") if plain else "str"
            return Tag(suffix=PREFIX + name)
        return self.DEFAULT_SEQUENCE_TAG if kind is SequenceNode else self.DEFAULT_MAPPING_TAG


@dataclass(frozen=True, slots=True)
class Document:
    """The tree of a text, and the keys that stand twice in it (the first of the two is in the tree)."""

    tree: Any
    repeated: tuple[Mistake, ...] = ()


def parse(text: str) -> Document:
    """The tree of one YAML document; None if it is empty. Raises YamlMistake."""
    if len(text) > MAX_TEXT:
        raise YamlMistake("the file", "is too long for a configuration", "check that it is the right one")
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = CoreSchema
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False  # any anchor is refused below, in our words
    try:
        node = yaml.compose(text)
    except (YAMLError, ValueError, OverflowError) as error:  # the last two: ruamel on an escape beyond Unicode
        raise _not_yaml(error, text) from None
    repeated: list[Mistake] = []
    tree = None if node is None else _value(node, (), repeated)
    return Document(tree, tuple(repeated))


def _not_yaml(error: Any, text: str) -> YamlMistake:
    """Where the text stops being YAML; ruamel's own words are not used, since they may quote the text."""
    mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
    tab = next((number for number, line in enumerate(text.splitlines(), 1) if re.match(r" *\t", line)), None)
    if tab:
        return YamlMistake(f"line {tab}", "is indented with a tab, which YAML does not allow", "indent with spaces")
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return YamlMistake(f"line {line}", "has a character that YAML does not allow", "remove it or write the line again")
    if mark is None:
        return YamlMistake("the file", "is not YAML", "check its indentation, colons and quotes")
    if "another document" in str(error.problem):
        return YamlMistake(f"line {mark.line + 1}", "begins a second document", "keep one configuration per file")
    return YamlMistake(
        f"line {mark.line + 1}, column {mark.column + 1}", "is not YAML", "check indentation, colons, quotes and brackets there"
    )


def _value(node: Any, loc: tuple[str | int, ...], repeated: list[Mistake]) -> Any:
    place = f"line {node.start_mark.line + 1}"
    if node.anchor is not None:
        raise YamlMistake(place, "has an anchor (&), which is not used here", "write the value out wherever it is wanted")
    kind = str(node.tag).removeprefix(PREFIX)
    if isinstance(node, MappingNode) and kind == "map":
        return _mapping(node, loc, repeated)
    if isinstance(node, SequenceNode) and kind == "seq":
        return [_value(each, (*loc, index), repeated) for index, each in enumerate(node.value)]
    if isinstance(node, ScalarNode) and kind in ("null", "bool", "int", "float", "str"):
        return _scalar(kind, node.value, place)
    raise YamlMistake(place, "has a tag (!), which is not used here", "write the plain value")


def _mapping(node: MappingNode, loc: tuple[str | int, ...], repeated: list[Mistake]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _value(key_node, loc, repeated)
        if not isinstance(key, str):
            raise YamlMistake(f"line {line}", "has a key that is not text", "put the key in quotes")
        value = _value(value_node, (*loc, key), repeated)
        if key in found:
            repeated.append(Mistake((*loc, key), f"stands in line {lines[key]} and again in line {line}", "keep one of the two"))
        else:
            found[key], lines[key] = value, line
    return found


def _scalar(kind: str, text: str, place: str) -> Any:
    if kind == "str":
        if any("\ud800" <= sign <= "\udfff" for sign in text):  # no encoding takes it, so no sentence could name it either
            raise YamlMistake(place, "has half of a character, by an escape like \\ud800", "write the character itself")
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    try:
        return _number(kind, text)
    except (ValueError, InvalidOperation):
        raise YamlMistake(place, "has a number that cannot be read", "write it with fewer digits") from None


def _number(kind: str, text: str) -> int | Decimal:
    if len(text) > MAX_DIGITS:
        raise ValueError("too many digits")
    if kind == "float":
        return Decimal(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
