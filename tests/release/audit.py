"""Whether an advisory is known against a locked package, by the database of osv.dev, which has those of PyPI and GitHub.

Rule: where the advisories cannot be had, or not be understood, that is said and is no success (exit code 3; 1 where one is known).
"""

import sys
from collections.abc import Sequence
from typing import Final

import httpx

from tests.release.lock import ROOT, Package, packages

DATABASE: Final = "https://api.osv.dev/v1/querybatch"
LOCKS: Final = ("requirements.lock", "requirements-optimize.lock", "requirements-dev.lock", "requirements-docs.lock")
CLEAN, KNOWN, NOT_AUDITED = 0, 1, 3


class NotAudited(Exception):
    """Nobody knows. Its text says why."""


def advisories(locked: Sequence[Package]) -> dict[Package, list[str]]:
    """By package the ids of what is known against it. NotAudited: the database cannot be reached, or says what is not understood."""
    queries = [{"package": {"name": each.name, "ecosystem": "PyPI"}, "version": each.version} for each in locked]
    try:
        answer = httpx.post(DATABASE, json={"queries": queries}, timeout=30.0).raise_for_status()
        results = answer.json()["results"]
        found = [[advisory["id"] for advisory in result.get("vulns", [])] for result in results]
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAudited(f"{DATABASE}: {type(error).__name__} {error}".strip()) from error
    if len(found) != len(locked):
        raise NotAudited(f"{DATABASE} was asked about {len(locked)} packages and answers for {len(found)}")
    return {package: ids for package, ids in zip(locked, found, strict=True) if ids}


def main() -> int:
    """Ask about every lock, and say what is known."""
    locked = sorted({package for lock in LOCKS for package in packages((ROOT / lock).read_text(encoding="utf-8"))}, key=lambda p: p.name)
    try:
        known = advisories(locked)
    except NotAudited as error:
        sys.stderr.write(f"not audited: the advisories cannot be had ({error}); try again where the network reaches them\n")
        return NOT_AUDITED
    for package, ids in known.items():
        sys.stdout.write(f"{package.name} {package.version}: {', '.join(ids)}\n")
    sys.stdout.write(f"{len(locked)} packages audited, {len(known)} with advisories\n")
    return KNOWN if known else CLEAN


if __name__ == "__main__":
    raise SystemExit(main())
