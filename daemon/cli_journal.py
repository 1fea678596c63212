"""Command line: the verbs about the journal itself.

Rule: those that read it do so beside a running daemon; the one that writes needs it stopped, says what it will write, and asks.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli_shared import AccountOption, ConfigPath, ForMachines, confirmed, load_config, mistakes, open_journal, told, user
from daemon.config import load_all
from daemon.core.model import shortest
from daemon.io import journal
from daemon.io.clock import SystemClock

journals = typer.Typer(no_args_is_help=True, help="Check the durable record, copy it, or have it accept the account.")


@journals.command()
def verify(config: ConfigPath, as_json: ForMachines = False) -> None:
    """Check every row of the journal, of every account; exit code 65 where one is not as it was written."""
    with mistakes():
        whole: dict[str, Mapping[str, int]] = {}
        for settings in load_all(config, os.environ):
            path = settings.journal_path(os.environ, Path.cwd())
            whole[str(path)] = journal.verify(path)
            if not as_json:
                typer.echo(f"{path} is whole: {_rows(whole[str(path)])}")
    if as_json:
        told([{"journal": path, "rows": rows} for path, rows in whole.items()])


@journals.command()
def backup(
    config: ConfigPath,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; not there yet.")],
    account: AccountOption = "",
    as_json: ForMachines = False,
) -> None:
    """Copy the journal while the daemon goes on writing it, and check the copy."""
    settings, _ = load_config(config, os.environ, account, need_secrets=False)
    path = settings.journal_path(os.environ, Path.cwd())
    with mistakes():
        rows = journal.back_up(path, to)
    if as_json:
        told({"journal": str(path), "copy": str(to), "rows": rows})
    else:
        typer.echo(f"{to} is a whole copy of {path}: {_rows(rows)}")


@journals.command()
def rebase(
    config: ConfigPath, account: AccountOption = "", yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Accept the account as it is now, where the exchange has forgotten what was there (a testnet that was reset). Asks first."""
    from daemon.rebasing import rebase as compared

    settings, secrets = load_config(config, os.environ, account)
    with mistakes(), open_journal(settings) as kept:
        found = asyncio.run(compared(settings, secrets, kept.recover(), SystemClock()))
        if not found.differences and not found.orders and found.epoch is None:
            typer.echo("the account is what the journal says; there is nothing to do")
            return
        for currency, amount in found.differences.items():
            typer.echo(f"{currency}: {shortest(amount):+f} against the journal, booked as a flow")
        for order_id in found.orders:
            typer.echo(f"order {order_id}: unknown to the exchange, given up")
        if found.epoch is not None:
            typer.echo("the exchange knows none of our orders any more: from here on its numbers are counted as new ones")
        if not yes:
            confirmed("Write this?")
        facts = found.facts(SystemClock().now(), f"{user() or 'somebody'}@journal")
        asyncio.run(kept.commit(*facts))
    typer.echo("written; the next start trades from here")


def _rows(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in rows.items() if count)
