"""Whether CHANGELOG.md is fit to be released with a version."""

import re
from collections.abc import Iterator
from typing import Final

KINDS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
HEADING: Final = re.compile(r"\[(\d+\.\d+\.\d+)\] - \d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


def problems(text: str, version: str) -> Iterator[str]:
    """Each as a sentence. A version of development (0.2.0.dev0) needs something under Unreleased, a released one a dated heading."""
    sections = [part.partition("\n") for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]]
    headings = [heading.strip() for heading, _, _ in sections]
    if not headings or headings[0] != "[Unreleased]":
        yield "the first heading is not ## [Unreleased]"
        return
    released = [found[1] for heading in headings[1:] if (found := HEADING.fullmatch(heading))]
    yield from (f"## {heading} is not ## [X.Y.Z] - YYYY-MM-DD" for heading in headings[1:] if not HEADING.fullmatch(heading))
    if [_number(each) for each in released] != sorted({_number(each) for each in released}, reverse=True):
        yield "the versions do not go down"
    for heading, _, body in sections:
        unknown = [kind for kind in re.findall(r"^### (.*)$", body, re.MULTILINE) if kind not in KINDS]
        yield from (f"{heading.strip()} has a section {kind}" for kind in unknown)
    waiting = bool(re.search(r"^- ", sections[0][2], re.MULTILINE))
    if ".dev" in version:
        yield from [] if waiting else ["there is nothing under ## [Unreleased]"]
    elif version not in released:
        yield f"there is no heading ## [{version}] - YYYY-MM-DD"
    elif waiting:
        yield f"something stands under ## [Unreleased] that belongs under ## [{version}]"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
