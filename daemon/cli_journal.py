"""Command line: the verbs about the journal itself.

Rule: they read it beside a running daemon; none changes a row.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli_shared import ConfigPath, load_config, mistakes
from daemon.io import journal

journals = typer.Typer(no_args_is_help=True, help="Check the durable record, or copy it.")


@journals.command()
def verify(config: ConfigPath) -> None:
    """Check every row of the journal; exit code 65 where one is not as it was written."""
    path = _path(config)
    with mistakes():
        rows = journal.verify(path)
    typer.echo(f"{path} is whole: {_told(rows)}")


@journals.command()
def backup(config: ConfigPath, to: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; not there yet.")]) -> None:
    """Copy the journal while the daemon goes on writing it, and check the copy."""
    path = _path(config)
    with mistakes():
        rows = journal.back_up(path, to)
    typer.echo(f"{to} is a whole copy of {path}: {_told(rows)}")


def _path(config: Path) -> Path:
    settings, _ = load_config(config, os.environ, need_secrets=False)
    return settings.journal_path(os.environ, Path.cwd())


def _told(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in rows.items() if count)
