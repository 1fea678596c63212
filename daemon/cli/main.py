"""Command line: the verbs of `rebalanced`, and how each one ends.

Rule: a user's mistake is one clear sentence on stderr and a documented exit code, never a traceback.
"""

import asyncio
import gc
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

import typer

from daemon import __version__
from daemon.cli.alerting import alerting
from daemon.cli.checking import checking
from daemon.cli.commanding import commanding
from daemon.cli.first import first
from daemon.cli.journal import journals
from daemon.cli.logs import log_reading
from daemon.cli.reading import reading
from daemon.cli.service import serving
from daemon.cli.shared import (
    AccountOption,
    BarsOption,
    ConfigPath,
    EndOption,
    ForMachines,
    StartOption,
    fail,
    load_accounts,
    load_config,
    mistakes,
    moment,
    open_journal,
    progress,
    ready_config,
    told,
)
from daemon.cli.sweep import sweeping
from daemon.config import Config, ConfigError, Secrets, json_schema, tree
from daemon.io.clock import SystemClock
from daemon.io.journal import Journal, Recovered, read
from daemon.secrecy import keep_to_itself

if TYPE_CHECKING:
    from daemon.venue.faults import Script

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and those may hold secrets
)

new = typer.Typer(no_args_is_help=True, help="Write a first file of your own.")
app.add_typer(new, name="new")
app.add_typer(first)
app.add_typer(checking)
app.add_typer(journals, name="journal")
app.add_typer(reading)
app.add_typer(log_reading)
app.add_typer(commanding)
app.add_typer(alerting)
app.add_typer(serving)
app.add_typer(sweeping)

Accounts = Sequence[tuple[Config, Secrets]]
World = Callable[[Config, Secrets, Recovered], AbstractAsyncContextManager[Config]]


def _version(asked: bool) -> None:
    """Say which program this is, and end."""
    if asked:
        typer.echo(f"rebalanced {__version__}")
        raise typer.Exit


@app.callback()
def rebalanced(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Which program this is.")] = False,
) -> None:
    """A daemon that trades a portfolio of crypto assets to target weights."""


def main() -> None:
    """Run a verb; the process ends with its exit code."""
    keep_to_itself()
    app()


# --- the daemon ------------------------------------------------------------------------------------------------------


@app.command()
def run(config: ConfigPath) -> None:
    """Trade, until SIGTERM or Ctrl-C."""
    accounts = load_accounts(config, os.environ)
    with _logging(accounts):
        _serve(accounts)


@app.command()
def demo(
    config: Annotated[Path | None, typer.Option("--config", help="Instead of the ready demo.yaml.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the journal of earlier demos.")] = False,
) -> None:
    """Everything on this machine, offline: an exchange on loopback and the daemon trading on it in mode sandbox."""
    from daemon.tools.demo import forget, loopback, refuse_others, with_keys  # the embedded exchange is needed here only

    environ = with_keys(os.environ)
    settings, secrets = load_config(config or ready_config("demo.yaml"), environ)
    with mistakes():
        refuse_others(settings)
        if fresh:
            forget(settings.journal_path(environ, Path.cwd()))
    with _logging([(settings, secrets)]):
        _serve([(settings, secrets)], loopback)


@app.command()
def plan(config: ConfigPath, account: AccountOption = "", as_json: ForMachines = False) -> None:
    """One decision now: what is held, wanted, left by each limit, and would be sent, with the reason of each. Sends nothing."""
    from rich.console import Console

    from daemon.app import routes, together
    from daemon.screens import planscreen
    from daemon.tools.planning import planned

    settings, secrets = load_config(config, os.environ, account)
    with mistakes():
        journal = settings.journal_path(os.environ, Path.cwd())
        record = read(journal) if journal.exists() else None
        made = asyncio.run(planned(settings, secrets, record, routes, together))
    if as_json:
        told(planscreen.mapping(made))
    else:
        Console().print(planscreen.screen(made, settings.universe.quote))


@app.command()
def backtest(
    config: ConfigPath,
    data: BarsOption,
    out: Annotated[Path, typer.Option(help="Directory for the results; made if it is not there.")],
    start: StartOption = None,
    end: EndOption = None,
    account: AccountOption = "",
    as_json: ForMachines = False,
) -> None:
    """Trade stored bars by the same core: decisions at the close, fills at the next bar's open."""
    from daemon.research import runs
    from daemon.research.report import making
    from daemon.routes import routes

    first, last = moment("--start", start), moment("--end", end)
    settings, _ = load_config(config, os.environ, account, need_secrets=False)
    with mistakes():
        summary = runs.backtest(settings, data, out, first, last, routes)
        page = making.write(out)
    if as_json:
        told({**summary, "report": str(page)})
        return
    typer.echo(runs.in_words(summary, out))
    typer.echo(f"report in {page}")


@app.command()
def download(
    config: ConfigPath,
    data: Annotated[Path, typer.Option(help="Directory of the store; made if it is not there, filled up if it is.")],
    since: Annotated[str | None, typer.Option(metavar="ISO", help="From when on, as 2022-01-01 or 2022-01-01T12:00Z.")] = None,
    until: Annotated[str | None, typer.Option(metavar="ISO", help="Until when; now, if it is not given.")] = None,
    from_csv: Annotated[Path | None, typer.Option("--csv", help="Take BASE_QUOTE-TIMEFRAME.csv files of this directory instead.")] = None,
    account: AccountOption = "",
) -> None:
    """Bars of the configured symbols into the store that `backtest` reads: what is missing of the period, whenever it was stopped."""
    from daemon.tools.downloading import import_csv

    begin, end = moment("--since", since), moment("--until", until)
    settings, _ = load_config(config, os.environ, account, need_secrets=False)
    if from_csv is not None and begin is None:
        with mistakes():
            lines = import_csv(settings, data, from_csv)
    elif begin is not None and from_csv is None:
        lines = _downloaded(settings, data, begin, end)
    else:
        fail("say from when on, with --since 2022-01-01, or where the files are, with --csv DIR", 2)
    typer.echo("\n".join(lines))


def _downloaded(settings: Config, data: Path, since: datetime, until: datetime | None) -> list[str]:
    """Fetch a period, with a bar for a person who looks."""
    from daemon.app import together
    from daemon.tools import downloading

    clock = SystemClock()
    now = clock.now()
    period = downloading.Period(since, min(until or now, now))
    bars, done = max(0, (period.until - since) // settings.bar_length) * len(settings.universe.symbols), 0

    with mistakes(), progress("downloading") as tell:

        def counted(more: int) -> None:
            nonlocal done
            done += more
            tell(done, bars)

        return asyncio.run(downloading.download(settings, data, period, clock, together=together, progress=counted, rng=Random()))


@app.command()
def screen(
    config: ConfigPath,
    data: Annotated[Path, typer.Option(help="Directory of BASE_QUOTE-TIMEFRAME.parquet files.")],
    top: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Every pair, for machines.")] = False,
    account: AccountOption = "",
) -> None:
    """Rank the pairs of the universe by correlation, half-life of reversion, and how well that held out of sample."""
    from daemon.research import screen as screens
    from daemon.screens.cells import terminal

    settings, _ = load_config(config, os.environ, account, need_secrets=False)
    with mistakes():
        pairs = screens.screened(settings, data)
    if as_json:
        typer.echo(screens.as_json(pairs))
    else:
        terminal().print(screens.as_table(pairs, len(settings.universe.symbols), settings.bar_length, top))


@new.command("strategy")
def new_strategy(file: Annotated[Path, typer.Argument(metavar="FILE", help="The Python file to write, like my.py.")]) -> None:
    """A commented strategy that runs at once, and a configuration that trades it on the demo's exchange."""
    from daemon.tools.newstrategy import CannotWrite, write

    try:
        config = write(file, ready_config("demo.yaml"))
    except CannotWrite as error:
        fail(str(error), 2)
    typer.echo(f"{file} is a strategy that runs as it is, {config} a configuration that uses it. Next:")
    typer.echo(f"  rebalanced check {config} --offline")
    typer.echo(f"  rebalanced demo --config {config}")


@app.command()
def schema() -> None:
    """Print the JSON schema of CONFIG, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def venue(
    data: Annotated[
        Path | None, typer.Option(help="Replay BASE_QUOTE-TIMEFRAME.parquet files of this directory (swaps: BASE_QUOTE_SETTLE-).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8900,
    market: Annotated[str, typer.Option(help="Kind of market: spot, or swap (USD-M futures).")] = "spot",
    interval: Annotated[str, typer.Option(help="Length of a live bar; a stored row plays per bar.")] = "1s",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the prices, where no data is given.")] = 1,
    markets: Annotated[int, typer.Option(min=1, help="How many markets are listed.")] = 12,
    history: Annotated[int, typer.Option(min=0, help="Rows that lie before now.")] = 1000,
    balance: Annotated[list[str] | None, typer.Option(help="ASSET=AMOUNT, repeatable; USDT=100000 unless given.")] = None,
    key: Annotated[str, typer.Option(help="The API key it accepts.")] = "venue-key",
    secret: Annotated[str, typer.Option(help="The secret it accepts.")] = "venue-secret",  # noqa: S107 - of a venue on loopback
    funding: Annotated[str, typer.Option(help="Between two settlements of a swap without recorded rates.")] = "8h",
    streams: Annotated[bool, typer.Option("--streams/--no-streams", help="Serve or refuse websockets.")] = True,
    closed_only: Annotated[bool, typer.Option("--closed-only", help="Stream closed candles only.")] = False,
    faults: Annotated[Path | None, typer.Option(help="What goes wrong, as YAML or JSON; see docs/venue.md.")] = None,
) -> None:
    """The embedded exchange alone, speaking the wire protocol of Binance's spot or USD-M futures on loopback."""
    from daemon.venue import Venue, VenueSettings, serve
    from daemon.venue.urls import needed

    if market not in ("spot", "swap"):
        fail(f"--market {market} is not there: the embedded exchange has spot and swap", 2)
    try:
        settings = VenueSettings(
            market=market,
            data=data,
            interval=interval,
            seed=seed,
            markets=markets,
            history=history,
            balance=_balances(balance or ["USDT=100000"]),
            key=key,
            secret=secret,
            funding=funding,
            streams=streams,
            closed_only=closed_only,
            faults=_script(faults),
        )
    except ValueError as error:
        fail(str(error), 2)

    def ready(running: Venue) -> None:
        # What exchange.ccxt.urls of a configuration needs to lead here.
        urls = needed(running.ccxt_urls(), running.settings.market)
        typer.echo(json.dumps({"url": running.url, "ws": running.ws_url, "urls": urls}))

    # As Ctrl-C: the first process of a container does not hear a signal that it has no handler for.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(serve(settings, host, port, ready))
    except (OSError, ValueError) as error:
        fail(f"the embedded exchange cannot start at {host}:{port}: {error}", 1)
    except KeyboardInterrupt:
        return


# --- what verbs share ------------------------------------------------------------------------------------------------


def _script(path: Path | None) -> "Script":
    """What goes wrong at the embedded exchange, as a file says."""
    from daemon.venue.faults import Script
    from daemon.venue.faultscript import FaultsRefused, read

    if path is None:
        return Script()
    try:
        return read(tree(path, "write what goes wrong, see docs/venue.md"), str(path))
    except (ConfigError, FaultsRefused) as error:
        fail("\n".join(error.problems), 2)


def _balances(given: list[str]) -> dict[str, Decimal]:
    """`ASSET=AMOUNT` as typed."""
    found: dict[str, Decimal] = {}
    for text in given:
        asset, _, amount = text.partition("=")
        try:
            units = Decimal(amount)
        except InvalidOperation:
            units = Decimal("NaN")
        if not (asset.strip() and units.is_finite()):
            fail(f"--balance {text} is not ASSET=AMOUNT, like USDT=100000", 2)
        found[asset.strip().upper()] = units
    return found


@contextmanager
def _logging(accounts: Accounts) -> Iterator[None]:
    from daemon.io.logs import configure, shutdown  # only who serves writes a log

    settings = accounts[0][0]
    hidden = [value for _, secrets in accounts for value in secrets.values()]
    configure(settings.logging.level, settings.logging.format, settings.name, hidden)
    try:
        yield
    finally:
        shutdown()


@asynccontextmanager
async def _as_configured(settings: Config, _secrets: Secrets, _recovered: Recovered) -> AsyncIterator[Config]:
    """The world as it is: nothing beside the daemon."""
    yield settings


def _serve(accounts: Accounts, world: World = _as_configured) -> None:
    """Open the journals, run the loop, and end with the documented code."""
    import uvloop

    with mistakes(), ExitStack() as opened:
        journals = [opened.enter_context(open_journal(settings)) for settings, _ in accounts]
        runner = opened.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        runner.run(_live(accounts, journals, world))


async def _live(accounts: Accounts, journals: Sequence[Journal], world: World) -> None:
    from daemon.app import Daemon
    from daemon.assembly.worlds import build, process
    from daemon.io.circuit import Circuits

    clock = SystemClock()
    shared, circuits = process(accounts, clock, os.environ), Circuits(clock)
    async with AsyncExitStack() as worlds:
        with progress() as tell:
            parts = []
            for (settings, secrets), journal in zip(accounts, journals, strict=True):
                recovered = journal.recover()
                inside = await worlds.enter_async_context(world(settings, secrets, recovered))
                parts.append(build(inside, secrets, journal, recovered, clock, tell, notifier=shared.notifier, circuits=circuits))
            daemon = Daemon(shared, parts)
            # What is loaded by now stays: a full collection that looked at all of it again would hold up an order for tens of milliseconds.
            gc.collect()
            gc.freeze()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, daemon.stop)
            # A demo belongs to its terminal; a service has none to lose.
            loop.add_signal_handler(signal.SIGHUP, daemon.reloading.hang_up if world is _as_configured else daemon.stop)
            await daemon.run()
