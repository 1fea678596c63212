"""Command line: the verbs about the journal itself.

Rule: those that read it do so beside a running daemon; the one that writes needs it stopped, says what it will write, and asks.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.shared import AccountOption, ConfigPath, ForMachines, confirmed, fail, load_config, mistakes, open_journal, told, user
from daemon.config import load_all
from daemon.core.model import shortest
from daemon.io import journal
from daemon.io.clock import SystemClock

journals = typer.Typer(no_args_is_help=True, help="Check the durable record, copy it, take it elsewhere, or have it accept the account.")


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
def export(
    config: ConfigPath,
    out: Annotated[Path, typer.Option(help="Directory of the files; made if it is not there.")],
    form: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    what: Annotated[str, typer.Option(help="Which tables, apart by commas.")] = ",".join(journal.TABLES),
    account: AccountOption = "",
    as_json: ForMachines = False,
) -> None:
    """Write orders, fills, decisions, equity, flows and funding as files, a table each, while the daemon goes on."""
    from daemon.tools import exporting

    names = [name.strip() for name in what.split(",")]
    if form not in exporting.FORMATS:
        fail(f"--format {form} is not there: write {' or '.join(exporting.FORMATS)}", 2)
    if unknown := [name for name in names if name not in journal.TABLES]:
        fail(f"--what {unknown[0]} is no table of a journal: there are {', '.join(journal.TABLES)}", 2)
    settings, _ = load_config(config, os.environ, account, need_secrets=False)
    with mistakes(), _writing():
        counted = exporting.export(settings.journal_path(os.environ, Path.cwd()), out, names, form)
    if as_json:
        told({"folder": str(out), "rows": counted})
    else:
        typer.echo(f"in {out}: {', '.join(f'{count} {name}' for name, count in counted.items())}")


@journals.command()
def trades(
    config: ConfigPath,
    method: Annotated[str, typer.Option(help="fifo: what was bought first is sold first; average: at the mean cost of all.")] = "fifo",
    year: Annotated[int, typer.Option(min=0, help="Only what was realised in this year, UTC; 0: all.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A file of all rows, .csv or .parquet.", show_default=False)] = None,
    account: AccountOption = "",
    as_json: ForMachines = False,
) -> None:
    """What each sale has earned over what it was bought for, to the last digit: a table for taxes, and what is still held."""
    from daemon.core.disposals import Method
    from daemon.tools import exporting

    if method not in list(Method):
        fail(f"--method {method} is not there: write {' or '.join(Method)}", 2)
    if out is not None and out.suffix not in (".csv", ".parquet"):
        fail(f"--out {out} is neither a .csv nor a .parquet file", 2)
    settings, _ = load_config(config, os.environ, account, need_secrets=False)
    money = (settings.universe.quote, *settings.universe.quotes)
    with mistakes(), _writing():
        made = exporting.traded(settings.journal_path(os.environ, Path.cwd()), Method(method), *money)
        rows = [row for row in made.rows if year in (0, row.realised_at.year)]
        if out is not None:
            exporting.written(out, exporting.COLUMNS["trades"], exporting.lines(rows))
    if as_json:
        told({"method": method, "rows": list(exporting.lines(rows)), "held": exporting.held(made)})
        return
    for line in exporting.in_words(rows, made):
        typer.echo(line)
    if out is not None:
        typer.echo(f"{len(rows)} rows in {out}")


@journals.command()
def replay(
    config: ConfigPath,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Make decisions from these BASE_QUOTE-TIMEFRAME.parquet files instead of the slices in the journal.", show_default=False
        ),
    ] = None,
    account: AccountOption = "",
    as_json: ForMachines = False,
) -> None:
    """Put the recorded inputs through a fresh core, and say where it does not conclude what is recorded; exit code 1 where it does not."""
    from daemon.tools.replaying import replayed

    settings, _ = load_config(config, os.environ, account, need_secrets=False)
    with mistakes():
        outcome = replayed(settings.journal_path(os.environ, Path.cwd()), settings, data)
    if as_json:
        told({"plans": outcome.plans, "decisions": outcome.decisions, "differs": outcome.differs, "not_compared": outcome.passed_over})
    else:
        typer.echo(f"the same once more: {outcome.plans} plans, {outcome.decisions} decisions")
        for reason, count in outcome.passed_over.items():
            typer.echo(f"not compared: {count} {reason}")
    if outcome.differs:
        fail("\n".join(outcome.differs), 1)


@contextmanager
def _writing() -> Iterator[None]:
    """A file that cannot be written is a sentence."""
    from daemon.tools.exporting import CannotExport

    try:
        yield
    except CannotExport as error:
        fail(str(error), 1)


@journals.command()
def rebase(
    config: ConfigPath, account: AccountOption = "", yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Accept the account as it is now, where the exchange has forgotten what was there (a testnet that was reset). Asks first."""
    from daemon.tools.rebasing import rebase as compared

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
    return ", ".join(f"{table.replace('_', ' ')} {count}" for table, count in rows.items() if count)
