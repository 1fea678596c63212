"""What every verb of the command line shares: how options are called, how a configuration is loaded, and how a mistake ends.

Rule: what a person did wrong is one sentence on stderr and a documented exit code; anything else is a traceback, for us.
"""

import getpass
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from daemon.config import Config, ConfigError, Secrets, load, load_all, resolve_secrets, resolve_token
from daemon.io.api_errors import CannotListen
from daemon.io.clock import SystemClock
from daemon.io.clockwatch import ClockSetBack
from daemon.io.exchange import VenueError
from daemon.io.journal import Journal, JournalError

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file, see config/.")]


Url = Annotated[str | None, typer.Option(help="Where the daemon answers, http://127.0.0.1:8787 unless CONFIG says otherwise.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="CONFIG", help="The same as CONFIG behind the verb.")]
ConfigHere = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG]", help="Take the address and the token from this configuration.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="The API's own JSON.")]
ForMachines = Annotated[bool, typer.Option("--json", help="For machines.")]
BarsOption = Annotated[
    Path, typer.Option("--data", help="Directory of BASE_QUOTE-TIMEFRAME.parquet files, with markets.json if there is one.")
]
StartOption = Annotated[
    str | None, typer.Option("--start", metavar="ISO", help="First decision, as 2022-01-01 or 2022-01-01T12:00Z; bars before it warm up.")
]
EndOption = Annotated[str | None, typer.Option("--end", metavar="ISO", help="Last close that is known.")]
AccountOption = Annotated[str, typer.Option("--account", metavar="NAME", help="Which of several accounts.")]

TOKEN: Final = "REBALANCED_TOKEN"  # noqa: S105 - where the token is, not what it is


def fail(text: str, code: int) -> NoReturn:
    """One sentence (or one a line) to stderr, and the end."""
    try:
        sys.stderr.write(text.rstrip() + "\n")
        sys.stderr.flush()
    except OSError:  # a full disk takes the sentence too; the code, at least, must say it
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
    raise typer.Exit(code)


def moment(option: str, given: str | None) -> datetime | None:
    """A moment as typed; UTC unless it says otherwise."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        fail(f"{option} {given} is not a moment, like 2022-01-01 or 2022-01-01T12:00Z", 2)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def ready_config(name: str) -> Path:
    """A configuration that ships with the program: in the clone's config/, or inside the installed package."""
    clone = Path(__file__).parents[2] / "config" / name
    return clone if clone.exists() else Path(__file__).parents[1] / "ready" / name


def load_config(path: Path, environ: Mapping[str, str], account: str = "", *, need_secrets: bool = True) -> tuple[Config, Secrets]:
    """The configuration at `path`, of one of several accounts, and its secrets unless they are not needed; or the end of the process."""
    with mistakes():
        settings = load(path, environ, account)
        return settings, resolve_secrets(settings, environ) if need_secrets else Secrets()


def load_accounts(path: Path, environ: Mapping[str, str], *, need_secrets: bool = True) -> list[tuple[Config, Secrets]]:
    """The same of every account there is; one where the configuration has an exchange."""
    with mistakes():
        found = load_all(path, environ)
        return [(settings, resolve_secrets(settings, environ) if need_secrets else Secrets()) for settings in found]


def named(here: Path | None, option: Path | None) -> Path | None:
    """The configuration that was named, behind the verb or by --config."""
    if here is not None and option is not None and here != option:
        fail(f"{here} and --config {option} are two configurations, and this is about one; leave one of them out", 2)
    return here or option


def about_and_config(about: str, here: Path | None) -> tuple[str, Path | None]:
    """What a verb is about, and its configuration, where both may be left out: no symbol and no strategy is called like a YAML file."""
    return ("", Path(about)) if here is None and about.endswith((".yaml", ".yml")) else (about, here)


def told(content: object) -> None:
    """JSON for machines: money and quantities as texts, times as RFC 3339."""
    from daemon.core.plain import plain

    typer.echo(json.dumps(plain(content), indent=2, ensure_ascii=False))


def address(url: str | None, config: Path | None) -> tuple[Sequence[Config], str, str | None]:
    """Where the daemon answers, and the token it wants; with what its accounts are, if a configuration says so."""
    if config is None:
        return (), url or "http://127.0.0.1:8787", os.environ.get(TOKEN)
    with mistakes():
        accounts = load_all(config, os.environ)
    token = resolve_token(accounts[0], os.environ)
    where = url or f"http://{accounts[0].api.host}:{accounts[0].api.port}"
    return accounts, where, token.reveal() if token else os.environ.get(TOKEN)


@contextmanager
def mistakes() -> Iterator[None]:
    """Turn what a person did wrong into its sentence and exit code."""
    from daemon.parts import StartRefused
    from daemon.research.bars import DataError

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
    except DataError as error:
        fail(str(error), 2)
    except ClockSetBack as error:
        fail(str(error), 1)
    except CannotListen as error:
        fail(str(error), 78)
    except VenueError as error:
        fail(f"the exchange gave an answer that ends the daemon, look at the log: {error.text}", 1)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What ended the tasks: the first failure, since those after it are its consequences."""
    first = group.exceptions[0]
    return _cause(first) if isinstance(first, BaseExceptionGroup) else first


def open_journal(settings: Config) -> Journal:
    """The journal of a configuration, to be written, without the detail that it is not to keep. JournalError: it cannot be used."""
    from daemon import __version__  # read off the package's metadata, which takes its time

    kept = Journal.open(
        settings.journal_path(os.environ, Path.cwd()),
        instance=settings.instance,
        mode=settings.mode,
        clock=SystemClock(),
        version=__version__,
        config_hash=hashlib.blake2b(settings.model_dump_json().encode(), digest_size=16).hexdigest(),
    )
    if settings.journal.detail is not None:
        try:
            kept.thin(settings.journal.detail)
        except JournalError:
            kept.close("failed: the old detail could not be removed")
            raise
    return kept


def attended() -> bool:
    """Whether a person is there who can be asked."""
    return sys.stdin.isatty()


def confirmed(question: str) -> None:
    """Go on only if a person says so."""
    if not attended():
        fail("this asks before it acts, and there is nobody to answer: add --yes", 2)
    if not typer.confirm(question):
        fail("nothing was done", 1)


def user() -> str:
    """Who runs this, "" where the system has no name for them, as in a container."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


@contextmanager
def progress(what: str = "reading history") -> Iterator[Callable[[int, int], None]]:
    """A bar for a person who looks, nothing for a log."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if done >= total:
                bar.stop()

        yield tell
