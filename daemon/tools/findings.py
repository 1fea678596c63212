"""Findings: what a check of `rebalanced doctor` says: fine, doubtful or wrong, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"  # it runs, and something would be better otherwise, or could not be told
    FAILED = "failed"  # it does not run like this, or should not


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found: a stable code, the verdict, one sentence, and the remedy ("": there is nothing to do)."""

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """All is as it should be."""
    return Finding(check, Verdict.OK, text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """It could be better, or cannot be told."""
    return Finding(check, Verdict.WARNING, text, remedy)


def failed(check: str, text: str, remedy: str) -> Finding:
    """It is wrong."""
    return Finding(check, Verdict.FAILED, text, remedy)
