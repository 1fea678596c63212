"""Pages that are made of the source: `make pages` writes them, and a test compares them with it.

Rule: a page is either written by hand or between two marks `<!-- NAME -->` and `<!-- end of NAME -->` made here, never both.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.pages import api, configuration, joints, logevents, shipped

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"

# By page what stands between its marks.
MADE: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "api.md": {"routes": api.routes_table},
    "api-reference.md": {"shapes": api.shapes_reference},
    "architecture.md": {"life of an order": joints.life_of_an_order},
    "configuration.md": {"keys": configuration.keys},
    "routes.md": {"pictures": joints.pictures, "table": joints.table},
    "strategy-reference.md": {"strategies": shipped.strategies},
}

SCHEMA: Final = DOCS / "log-events.schema.json"


def made(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page with its made parts as they are to be. ValueError: a mark is missing."""
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the marks of {name} are missing")
        text = f"{before}{begin}\n{part()}\n{end}{after}"
    return text


def pages() -> Iterator[tuple[Path, str, str]]:
    """Each page that has made parts, and what is made as a whole: where it is, as it is, as it is to be."""
    for page, parts in MADE.items():
        text = (DOCS / page).read_text(encoding="utf-8")
        yield DOCS / page, text, made(text, parts)
    yield SCHEMA, SCHEMA.read_text(encoding="utf-8"), logevents.written()
