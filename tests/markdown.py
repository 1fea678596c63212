"""What tests of the documents read in them: blocks of code, headings, links. No library: the suite needs none for its pages."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FENCE: Final = re.compile(r"```(\w*)$")
TAG: Final = re.compile(r"<!-- runs (.+) -->")
LINK: Final = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code: where it begins, the language of its fence ("": it is indented, or its fence names none), what runs it."""

    page: Path
    line: int
    language: str
    text: str
    runs: str | None

    @property
    def is_shell(self) -> bool:
        """Whether it is something to type: whatever is nothing else must be named at its fence."""
        return self.language in ("", "sh")

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Every page a person may read, but for what changed and the licence."""
    return [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of code of a page, in order, each with the tag above it."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number, runs = 0, None
    while number < len(lines):
        begin = number
        if (fence := FENCE.match(lines[number])) is not None:
            number = next(index for index in range(number + 1, len(lines)) if lines[index].startswith("```")) + 1
            yield Block(page, begin + 1, fence[1], "\n".join(lines[begin + 1 : number - 1]), runs)
            runs = None
        elif lines[number].startswith("    ") and not lines[number - 1].strip():
            number = next((index for index in range(number, len(lines)) if not lines[index].startswith("    ")), len(lines))
            yield Block(page, begin + 1, "", "\n".join(line[4:] for line in lines[begin:number]), runs)
            runs = None
        else:
            if (tag := TAG.fullmatch(lines[number])) is not None:
                runs = tag[1]
            elif lines[number].strip():
                runs = None  # a tag stands right above its block
            number += 1


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names that the site gives the headings of a page (python-markdown's `toc`; GitHub's are the same for ours)."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {_slug(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head)) for head in heads}


def _slug(head: str) -> str:
    plain = unicodedata.normalize("NFKD", head).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def links(page: Path) -> list[str]:
    """Where a page points to, pictures included; code in the line is no link."""
    return LINK.findall(re.sub(r"`[^`]*`", "", prose(page)))


def inline(page: Path) -> list[str]:
    """What stands between backticks in the text of a page."""
    return re.findall(r"`([^`\n]+)`", prose(page))
