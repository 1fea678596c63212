"""What is joined to what: the route table as pictures and as a table, and the life of an order, drawn from the code that runs."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, cast

from daemon.core import events
from daemon.core.ordertable import diagram
from daemon.parts import Joined
from daemon.routes import routes

DAEMON: Final = Path(__file__).resolve().parents[2] / "daemon"


def life_of_an_order() -> str:
    """The order table as a state diagram."""
    return _mermaid(diagram())


class Name:
    """Stands for a part of the daemon: whatever is asked of it is its name, one step longer."""

    def __init__(self, *steps: str) -> None:
        self.steps = steps

    def __getattr__(self, step: str) -> "Name":
        return Name(*self.steps, step)

    def __call__(self, _: type) -> list["Name"]:
        return [self]


@cache
def heard() -> Mapping[str, tuple[str, ...]]:
    """By the name of an event, which parts hear it, in order; that everything is told to people first is left out."""
    table = cast("Sequence[tuple[type, Sequence[Name]]]", routes(cast("Joined", Name())))
    return {kind.__name__: tuple(_part(handler) for handler in handlers if handler.steps != ("tell",)) for kind, handlers in table}


def _part(handler: Name) -> str:
    """`d.parts.account.on_tick` is the account; `d.gateway.accept` the gateway; `d.paper_on` the paper account."""
    first, *rest = handler.steps
    return rest[0] if first == "parts" else first.removesuffix("_on")


@cache
def said() -> Mapping[str, tuple[str, ...]]:
    """By the name of an event, the modules of the daemon that make one."""
    found: dict[str, set[str]] = {}
    for path in sorted(DAEMON.rglob("*.py")):
        if {"research", "venue"} & set(path.relative_to(DAEMON).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in heard():
                    found.setdefault(called, set()).add(str(path.relative_to(DAEMON).with_suffix("")))
    return {name: tuple(sorted(modules)) for name, modules in found.items()}


def sections() -> Iterator[tuple[str, list[str]]]:
    """The headings of the route table in its source, each with the events below it."""
    source = (DAEMON / "routes.py").read_text(encoding="utf-8")
    title, names = "", list[str]()
    for line in source.splitlines():
        if (head := re.fullmatch(r" {8}# (.+)", line)) is not None:
            if names:
                yield title, names
            title, names = head[1], []
        elif title:
            names += [name for name in dict.fromkeys(re.findall(r"\be\.([A-Z]\w+)", line)) if name not in names]
    yield title, names


def pictures() -> str:
    """A picture for each section of the table: events, and arrows to the parts that hear them, numbered in their order."""
    return "\n\n".join(
        f"### {title.capitalize()}\n\n{_picture(names)}" for title, names in sections() if any(heard()[name] for name in names)
    )


def _picture(names: list[str]) -> str:
    lines = ["flowchart LR"]
    for name in names:
        parts = heard()[name]
        for place, part in enumerate(parts, 1):
            number = f"|{place}|" if len(parts) > 1 else ""
            lines.append(f"    {name}([{name}]) -->{number} {part}")
    return _mermaid("\n".join(lines))


def table() -> str:
    """Each event: what it says, who says it, and who hears it in which order."""
    rows = [f"| `{name}` | {_meaning(name)} | {_modules(name)} | {_parts(name)} |" for _, names in sections() for name in names]
    return "\n".join(["| event | is | said by | heard by, in order |", "|---|---|---|---|", *rows])


def _meaning(name: str) -> str:
    text = " ".join((getattr(events, name).__doc__ or "").split())
    return re.split(r"(?<=[.])\s", text, maxsplit=1)[0].replace("|", "\\|")


def _modules(name: str) -> str:
    return ", ".join(f"`{module}`" for module in said().get(name, ())) or "nobody"


def _parts(name: str) -> str:
    return ", ".join(heard()[name]) or "people only"


def _mermaid(text: str) -> str:
    return f"```mermaid\n{text.rstrip()}\n```"
