"""Command line: `logs`, which tells the story of one wave out of a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from daemon.cli.shared import fail, told

log_reading = typer.Typer()

COLUMNS: Final = ("number", "account", "decision_id", "sent", "filled", "costs", "refused")


@log_reading.command()
def logs(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="A log of the daemon, or what `journalctl -o json` says; - is a pipe.")
    ] = Path("-"),
    wave: Annotated[str, typer.Option(metavar="N|ID", help="Tell this one: a decision's id, or 1 for the newest.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Of one wave its lines as they were written; else the list, for machines.")
    ] = False,
) -> None:
    """List the waves of a log, or tell the story of one: the bars, the decision, its plan, every order and fill, the result."""
    from daemon.screens import cells
    from daemon.tools import logstory

    with _opened(file) as texts:
        waves = logstory.waves_of(logstory.lines_of(texts))
    if wave:
        try:
            found = logstory.chosen(waves, wave)
        except logstory.NoSuchWave as error:
            fail(str(error), 1)
        for text in logstory.told(found, as_json=as_json, colours=sys.stdout.isatty()):
            typer.echo(text)
        return
    if as_json:
        told([dict(zip(COLUMNS, row, strict=True)) for row in logstory.listed(waves)])
        return
    if not waves:
        fail(f"{'what was piped in' if str(file) == '-' else file}: {logstory.NO_WAVE}", 1)
    cells.terminal().print(cells.Listing(COLUMNS, logstory.listed(waves), spare=("account", "costs")))


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    if str(file) == "-":
        if sys.stdin.isatty():
            fail("name a log file, or pipe one in: journalctl -u rebalanced@NAME -o json | rebalanced logs", 2)
        yield sys.stdin
        return
    try:
        with file.open(encoding="utf-8", errors="replace") as texts:
            yield texts
    except OSError as error:
        fail(f"{file}: the log cannot be read ({error.strerror}); name a file of the daemon's lines", 2)
