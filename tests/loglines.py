"""Whatever any test has the program say is held against the schema of a log line: docs/log-events.schema.json is true, or a test fails.

In this process a line is seen where structlog takes it, whether a test reads the log or not; programs of their own are read by
tests.process.support. Tests that make lines up are marked `made_up_lines`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import structlog
from jsonschema import Draft202012Validator

from daemon.core.plain import Plain, plain
from tests.pages.logevents import schema

# Why lines were not as described, until the test that had them said is judged.
OFFENCES: Final[list[str]] = []
EVENTS: Final = schema()["$defs"]
_heeded = True


@cache
def _of(event: str) -> Draft202012Validator | None:
    """Judges lines of an event; compiled once."""
    return Draft202012Validator(EVENTS[event]) if event in EVENTS else None


def heed(*, made_up: bool) -> None:
    """Judge what is said from now on, unless it is made up."""
    global _heeded  # noqa: PLW0603 - structlog is the process's, and so is what is heard of it
    _heeded = not made_up


def judge(line: Mapping[str, Any]) -> None:
    """Take offence at a line that is not as described."""
    if not _heeded:
        return
    event = str(line.get("event"))
    known = _of(event)
    if known is None:
        OFFENCES.append(f"{event} is not described: {line}")
    elif not known.is_valid(line):
        OFFENCES.extend(f"{event}: {error.json_path}: {error.message[:300]} in {str(line)[:1000]}" for error in known.iter_errors(line))


def offences() -> list[str]:
    """What has been found since somebody asked."""
    found, OFFENCES[:] = OFFENCES.copy(), []
    return found


def overhear() -> None:
    """See each line of this process from now on."""
    taken = structlog.BoundLoggerBase._process_event

    def process(
        self: structlog.BoundLoggerBase, level: str, event: str | None, fields: dict[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        judge(_as_written(level, str(event), {**structlog.contextvars.get_contextvars(), **fields}))
        return taken(self, level, event, fields)

    structlog.BoundLoggerBase._process_event = process  # type: ignore[method-assign, assignment]


def _as_written(level: str, event: str, fields: dict[str, Any]) -> dict[str, Plain]:
    """A line as daemon.io.logs makes one."""
    raised = fields.pop("exc_info", None)
    explained: dict[str, object] = {"exception": []} if raised else {}
    stamped = {"ts": "2026-01-02T12:00:00.000000Z", "level": level, "event": event, "name": "overheard"}
    line = plain({**fields, **explained, **stamped})
    assert isinstance(line, dict)
    return line
