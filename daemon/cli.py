"""Command line: the verbs of `rebalanced`, and how each one ends.

Rule: a user's mistake is one clear sentence on stderr and a documented exit code, never a traceback.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from daemon import __version__
from daemon.config import Config, ConfigError, Secrets, json_schema, load, resolve_secrets
from daemon.io.api import CannotListen
from daemon.io.clock import SystemClock
from daemon.io.exchange import VenueError
from daemon.io.journal import Journal, JournalError, Recovered
from daemon.io.logs import configure, shutdown

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and those may hold secrets
    help="A daemon that trades a portfolio of crypto assets to target weights.",
)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file, see config/.")]
Url = Annotated[str | None, typer.Option(help="Where the daemon answers, http://127.0.0.1:8787 unless CONFIG says otherwise.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Take the address and the token from this configuration.")]
AsJson = Annotated[bool, typer.Option("--json", help="The API's own JSON.")]
World = Callable[[Config, Secrets, Recovered], AbstractAsyncContextManager[Config]]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Rows.")]


def main() -> None:
    """Run a verb; the process ends with its exit code."""
    app()


def fail(text: str, code: int) -> NoReturn:
    """One sentence (or one a line) to stderr, and the end."""
    sys.stderr.write(text.rstrip() + "\n")
    raise typer.Exit(code)


# --- the daemon ------------------------------------------------------------------------------------------------------


@app.command()
def run(config: ConfigPath) -> None:
    """Trade, until SIGTERM or Ctrl-C."""
    settings, secrets = _load(config, os.environ)
    with _logging(settings, secrets):
        _serve(settings, secrets)


@app.command()
def demo(
    config: Annotated[Path | None, typer.Option("--config", help="Instead of the ready demo.yaml.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the journal of earlier demos.")] = False,
) -> None:
    """Everything on this machine, offline: an exchange on loopback and the daemon trading on it in mode sandbox."""
    from daemon.demo import forget, loopback, refuse_others, with_keys  # the embedded exchange is needed here only

    environ = with_keys(os.environ)
    settings, secrets = _load(config or ready_config("demo.yaml"), environ)
    with _mistakes():
        refuse_others(settings)
        if fresh:
            forget(settings.journal_path(environ, Path.cwd()))
    with _logging(settings, secrets):
        _serve(settings, secrets, loopback)


@app.command()
def check(config: ConfigPath, offline: Annotated[bool, typer.Option("--offline", help="Ask no exchange.")] = False) -> None:
    """Validate a configuration: the file, the secrets, the exchange, the symbols; print what would trade."""
    from daemon.checks import check_venue, summary

    settings, secrets = _load(config, os.environ, need_secrets=not offline)
    typer.echo(summary(settings))
    if offline:
        typer.echo("not asked: the exchange (--offline)")
        return
    with _mistakes():
        typer.echo(asyncio.run(check_venue(settings, secrets)))


@app.command()
def schema() -> None:
    """Print the JSON schema of CONFIG, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def venue(
    data: Annotated[Path | None, typer.Option(help="Replay BASE_QUOTE-TIMEFRAME.parquet files of this directory.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8900,
    market: Annotated[str, typer.Option(help="Kind of market: spot.")] = "spot",
    interval: Annotated[str, typer.Option(help="Length of a live bar; a stored row plays per bar.")] = "1s",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the prices, where no data is given.")] = 1,
    markets: Annotated[int, typer.Option(min=1, help="How many markets are listed.")] = 12,
    history: Annotated[int, typer.Option(min=0, help="Rows that lie before now.")] = 1000,
    balance: Annotated[list[str] | None, typer.Option(help="ASSET=AMOUNT, repeatable; USDT=100000 unless given.")] = None,
    key: Annotated[str, typer.Option(help="The API key it accepts.")] = "venue-key",
    secret: Annotated[str, typer.Option(help="The secret it accepts.")] = "venue-secret",  # noqa: S107 - of a venue on loopback
    streams: Annotated[bool, typer.Option("--streams/--no-streams", help="Serve or refuse websockets.")] = True,
    closed_only: Annotated[bool, typer.Option("--closed-only", help="Stream closed candles only.")] = False,
) -> None:
    """The embedded exchange alone, speaking Binance spot's wire protocol on loopback."""
    from daemon.venue import Venue, VenueSettings, serve

    if market != "spot":
        fail(f"--market {market} is not there: the embedded exchange has spot", 2)
    try:
        settings = VenueSettings(
            data=data,
            interval=interval,
            seed=seed,
            markets=markets,
            history=history,
            balance=_balances(balance or ["USDT=100000"]),
            key=key,
            secret=secret,
            streams=streams,
            closed_only=closed_only,
        )
    except ValueError as error:
        fail(str(error), 2)

    def ready(running: Venue) -> None:
        streams = {"spot": f"{running.ws_url}/stream", "ws-api": {"spot": f"{running.ws_url}/ws-api/v3"}}
        urls = {"public": f"{running.url}/api/v3", "private": f"{running.url}/api/v3", "ws": streams}
        # What exchange.ccxt.urls of a configuration needs to lead here, in mode live or paper (api) and sandbox (test).
        typer.echo(json.dumps({"url": running.url, "ws": running.ws_url, "urls": {"api": urls, "test": urls}}))

    try:
        asyncio.run(serve(settings, host, port, ready))
    except (OSError, ValueError) as error:
        fail(f"the embedded exchange cannot start at {host}:{port}: {error}", 1)
    except KeyboardInterrupt:
        return


# --- reading a running daemon ----------------------------------------------------------------------------------------


@app.command()
def status(url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """What the daemon is doing, what it holds against its targets, and why."""
    _show("status", url, config, as_json=as_json)


@app.command()
def positions(url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Holdings with value, weight and target."""
    _show("positions", url, config, as_json=as_json)


@app.command()
def targets(url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """The weights of the newest decision."""
    _show("targets", url, config, as_json=as_json)


@app.command()
def orders(url: Url = None, config: ConfigOption = None, as_json: AsJson = False, limit: Limit = 50) -> None:
    """The newest orders."""
    _show("orders", url, config, as_json=as_json, limit=limit)


@app.command()
def fills(url: Url = None, config: ConfigOption = None, as_json: AsJson = False, limit: Limit = 50) -> None:
    """The newest trades."""
    _show("fills", url, config, as_json=as_json, limit=limit)


def _show(
    what: Literal["status", "positions", "targets", "orders", "fills"],
    url: str | None,
    config: Path | None,
    *,
    as_json: bool,
    limit: int | None = None,
) -> None:
    from daemon import show  # the daemon itself needs neither an HTTP client nor tables

    token = None
    if config is not None:
        settings, secrets = _load(config, os.environ, need_secrets=False)
        url = url or f"http://{settings.api.host}:{settings.api.port}"
        token = secrets.token.reveal() if secrets.token else None
    try:
        show.show(what, url or "http://127.0.0.1:8787", token=token, as_json=as_json, limit=limit)
    except show.NoAnswer as error:
        fail(str(error), 1)


# --- what verbs share ------------------------------------------------------------------------------------------------


def ready_config(name: str) -> Path:
    """A configuration that ships with the program: in the clone's config/, or inside the installed package."""
    clone = Path(__file__).parent.parent / "config" / name
    return clone if clone.exists() else Path(__file__).parent / "ready" / name


def _load(path: Path, environ: Mapping[str, str], *, need_secrets: bool = True) -> tuple[Config, Secrets]:
    with _mistakes():
        settings = load(path, environ)
        return settings, resolve_secrets(settings, environ) if need_secrets else Secrets()


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
def _mistakes() -> Iterator[None]:
    """Turn what a person did wrong into its sentence and exit code."""
    from daemon.parts import StartRefused

    try:
        try:
            yield
        except BaseExceptionGroup as group:
            raise _cause(group) from group
    except ConfigError as error:
        fail("\n".join(error.problems), 78)
    except StartRefused as error:
        fail(str(error), error.exit_code)
    except JournalError as error:
        fail(str(error), error.exit_code)
    except CannotListen as error:
        fail(str(error), 78)
    except VenueError as error:
        fail(f"the exchange gave an answer that ends the daemon, look at the log: {error.text}", 1)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What ended the tasks: the first failure, since those after it are its consequences."""
    first = group.exceptions[0]
    return _cause(first) if isinstance(first, BaseExceptionGroup) else first


@contextmanager
def _logging(settings: Config, secrets: Secrets) -> Iterator[None]:
    known = [s.reveal() for s in (secrets.api_key, secrets.secret, secrets.password, secrets.token) if s]
    configure(settings.logging.level, settings.logging.format, settings.name, known)
    try:
        yield
    finally:
        shutdown()


@asynccontextmanager
async def _as_configured(settings: Config, _secrets: Secrets, _recovered: Recovered) -> AsyncIterator[Config]:
    """The world as it is: nothing beside the daemon."""
    yield settings


def _serve(settings: Config, secrets: Secrets, world: World = _as_configured) -> None:
    """Open the journal, run the loop, and end with the documented code."""
    import uvloop

    with _mistakes(), _open_journal(settings) as journal, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_live(settings, secrets, journal, world))


def _open_journal(settings: Config) -> Journal:
    return Journal.open(
        settings.journal_path(os.environ, Path.cwd()),
        instance=settings.name,
        mode=settings.mode,
        clock=SystemClock(),
        version=__version__,
        config_hash=hashlib.blake2b(settings.model_dump_json().encode(), digest_size=16).hexdigest(),
    )


async def _live(settings: Config, secrets: Secrets, journal: Journal, world: World) -> None:
    from daemon.app import Daemon
    from daemon.worlds import build

    recovered = journal.recover()
    async with world(settings, secrets, recovered) as inside:
        with _progress() as progress:
            daemon = Daemon(build(inside, secrets, journal, recovered, SystemClock(), os.environ, progress))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, daemon.stop)
            # A demo belongs to its terminal; a service has none to lose.
            loop.add_signal_handler(signal.SIGHUP, daemon.hang_up if world is _as_configured else daemon.stop)
            await daemon.run()


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar for a person who looks, nothing for a log."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("reading history", total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if done >= total:
                bar.stop()

        yield told
