"""The locked packages that the program runs with: versions, hashes, who needs whom, and under which licence each comes."""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
LOCK: Final = ROOT / "requirements.lock"

# Licences that an Apache-2.0 program may be used and passed on with: permissive ones, and MPL-2.0, which binds its own files only.
ALLOWED: Final = frozenset({"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "PSF-2.0", "Zlib"})

# As packages of before SPDX write it.
WRITTEN: Final = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


@dataclass(frozen=True, slots=True)
class Package:
    """A locked package. `parents`: who needs it, `rebalanced` among them where we do."""

    name: str
    version: str
    hashes: tuple[str, ...]
    parents: tuple[str, ...]


def packages(text: str) -> Sequence[Package]:
    """What a lock pins, in its order."""
    found = []
    for entry in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE):
        if pinned := re.match(r"([\w.-]+)==(\S+)", entry):
            notes = " ".join(line.strip(" #") for line in entry.splitlines() if line.lstrip().startswith("#"))
            parents = tuple(word.partition(" ")[0] for word in notes.removeprefix("via ").split() if word)
            found.append(Package(pinned[1], pinned[2], tuple(re.findall(r"sha256:(\w{64})", entry)), _named(parents)))
    return found


def _named(parents: Iterable[str]) -> tuple[str, ...]:
    """`rebalanced (pyproject.toml)` is us."""
    return tuple(parent for parent in parents if re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?", parent) and not parent.startswith("("))


def licence(name: str) -> str:
    """The SPDX expression of an installed package, as it says itself; "" where it says nothing that is known, or is not there."""
    try:
        told: Any = metadata(name)  # an e-mail's header, of which typeshed knows less than it can do
    except PackageNotFoundError:
        return ""
    if expression := told.get("License-Expression"):
        return str(expression)
    line = (told.get("License") or "").strip()
    classifiers = [text.rpartition(" :: ")[2] for text in told.get_all("Classifier") or [] if text.startswith("License :: ")]
    known = [WRITTEN.get(text, text) for text in ([line] if line else classifiers)]
    return " OR ".join(sorted(text for text in known if text in ALLOWED))


def allowed(expression: str) -> bool:
    """Whether every part of an expression is among those that are allowed; where one may choose, one of them."""
    parts = expression.replace("(", " ").replace(")", " ").split(" AND ") if expression else [""]
    return all(any(choice.strip() in ALLOWED for choice in part.split(" OR ")) for part in parts)


if __name__ == "__main__":
    told = {package: licence(package.name) for package in packages(LOCK.read_text(encoding="utf-8"))}
    for package, expression in told.items():
        verdict = "" if allowed(expression) else "  <- is not allowed"
        sys.stdout.write(f"{package.name} {package.version}: {expression or 'unknown'}{verdict}\n")
    raise SystemExit(0 if all(map(allowed, told.values())) else 1)
