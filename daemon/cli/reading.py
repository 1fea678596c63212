"""Command line: the verbs that read a running daemon, or what it or a backtest has written.

Rule: they change nothing, and need neither the daemon's parts nor its secrets.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from daemon.cli.shared import (
    AccountOption,
    AsJson,
    ConfigHere,
    ConfigOption,
    ForMachines,
    Url,
    about_and_config,
    address,
    fail,
    load_config,
    mistakes,
    named,
    told,
)
from daemon.config import Config

reading = typer.Typer()

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Rows.")]


@reading.command()
def status(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """What the daemon is doing, what it holds against its targets, and why."""
    _show("status", url, named(here, config), as_json=as_json)


@reading.command()
def health(
    here: ConfigHere = None,
    url: Url = None,
    config: ConfigOption = None,
    ready: Annotated[bool, typer.Option("--ready", help="Whether it may trade, too; with the reasons where not.")] = False,
) -> None:
    """Whether the daemon's loop turns; exit code 1 where it does not. What a container's HEALTHCHECK asks."""
    from daemon.screens.show import NoAnswer, healthy

    _, where, _ = address(url, named(here, config))
    try:
        typer.echo(healthy(where, ready=ready))
    except NoAnswer as error:
        fail(str(error), 1)


@reading.command()
def positions(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Holdings with value, weight and target."""
    _show("positions", url, named(here, config), as_json=as_json)


@reading.command()
def targets(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """The weights of the newest decision."""
    _show("targets", url, named(here, config), as_json=as_json)


@reading.command()
def orders(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False, limit: Limit = 50) -> None:
    """The newest orders."""
    _show("orders", url, named(here, config), as_json=as_json, limit=limit)


@reading.command()
def fills(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False, limit: Limit = 50) -> None:
    """The newest trades."""
    _show("fills", url, named(here, config), as_json=as_json, limit=limit)


@reading.command()
def analysis(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Returns, correlations, risk, costs and attribution, by symbol and by strategy."""
    _show("analysis", url, named(here, config), as_json=as_json)


@reading.command()
def top(
    here: ConfigHere = None,
    url: Url = None,
    config: ConfigOption = None,
    every: Annotated[float, typer.Option(min=0.2, max=3600, metavar="SECONDS", help="How often it looks.")] = 2.0,
) -> None:
    """The same live: state, holdings against targets, open orders, decisions. Ctrl-C ends it; into a pipe it prints once."""
    import time

    from daemon.screens import show, topscreen

    _, where, token = address(url, named(here, config))
    try:
        topscreen.run(where, token, every, time.sleep)
    except show.NoAnswer as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        return


@reading.command()
def why(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="BTC/USDT, or BTC where that names one.")],
    here: ConfigHere = None,
    decision: Annotated[str | None, typer.Option(metavar="ID", help="Another than the last; orders and fills name it.")] = None,
    account: AccountOption = "",
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Why a symbol is held as it is: signals, weight asked, limits, plan, orders, trades. With CONFIG also while no daemon runs."""
    from daemon.screens import show

    accounts, where, token = address(url, named(here, config))
    try:
        told = show.fetch_why(where, symbol, decision, account, token=token)
    except show.NoDaemon as error:
        if not accounts or url is not None:
            fail(f"{error} (with a CONFIG, the journal is read without one)", 1)
        told = _journalled(_meant(accounts, symbol, account), symbol, decision, str(error))
    except show.NoAnswer as error:
        fail(str(error), 1)
    show.show_why(told, as_json=as_json)


@reading.command()
def trace(
    wave: Annotated[str, typer.Argument(metavar="[WAVE]", help="The id of its decision; without it the newest.")] = "",
    here: ConfigHere = None,
    account: AccountOption = "",
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """How long each stage of a wave took, from the last bar to the last answer. With CONFIG also while no daemon runs."""
    from daemon.screens import cells, show, tracescreen

    wave, here = about_and_config(wave, here)
    accounts, where, token = address(url, named(here, config))
    try:
        row = tracescreen.fetched(where, wave, account, token=token)
    except show.NoDaemon as error:
        if not accounts or url is not None:
            fail(f"{error} (with a CONFIG, the journal is read without one)", 1)
        row = _traced(accounts, wave, account, str(error))
    except (show.NoAnswer, tracescreen.NoSuchWave) as error:
        fail(str(error), 1)
    if as_json:
        told(row)
    else:
        cells.terminal().print(tracescreen.screen(row))


@reading.command()
def report(
    run: Annotated[
        Path, typer.Argument(metavar="DIR|JOURNAL", help="The --out of a backtest or of a sweep; or a daemon's journal, or its directory.")
    ],
    config: Annotated[Path | None, typer.Option("--config", metavar="CONFIG", help="Of a journal: the daemon's configuration.")] = None,
    data: Annotated[Path | None, typer.Option(help="Of a journal: stored bars; a backtest over the same ones is put beside it.")] = None,
    out: Annotated[Path, typer.Option(help="Of a journal: the folder of its report.")] = Path("report"),
    account: AccountOption = "",
    as_json: ForMachines = False,
) -> None:
    """Make the page of a backtest or of a sweep anew, or that of what a daemon has done, out of its journal."""
    from daemon.research.report import making
    from daemon.research.sweep import files, findings, page

    with mistakes():
        journal = _journal_of(run)
        if journal is not None:
            made = _lived(journal, config, data, out, account)
        elif (run / files.ASKED).is_file():
            made = [page.write(findings.opened(run))]
        else:
            made = [making.write(run)]
    if as_json:
        told({"report": str(made[0]), **({"compare": str(made[1])} if made[1:] else {})})
    else:
        typer.echo("\n".join(f"report in {each}" for each in made))


def _journal_of(place: Path) -> Path | None:
    """The journal that is meant, by its file or by the only one of a directory; None: the folder of a run."""
    if place.is_file():
        return place
    found = sorted(place.glob("*.sqlite"))
    if len(found) > 1:
        fail(f"{place} has several journals: name one of {', '.join(each.name for each in found)}", 2)
    return found[0] if found else None


def _lived(journal: Path, config: Path | None, data: Path | None, out: Path, account: str) -> list[Path]:
    """The page of a journal; and, where there are bars, that of a backtest over the same time beside it."""
    from daemon.research import lived, runs
    from daemon.research.report import comparing, making
    from daemon.routes import routes

    if data is not None and config is None:
        fail("--data takes the bars of a configuration: name it with --config", 2)
    settings = load_config(config, os.environ, account, need_secrets=False)[0] if config is not None else None
    diary = lived.opened(journal, settings.universe.symbols if settings is not None else ())
    lived.write(diary, journal.stem, out, settings, data)
    made = [making.write(out)]
    if settings is not None and data is not None:
        again, start, end = lived.again(diary, settings)
        runs.backtest(again, data, out / "backtest", start, end, routes)
        making.write(out / "backtest")
        comparing.write(comparing.Pair(out, out / "backtest"), out / "compare.html")
        made.append(out / "compare.html")
    return made


@reading.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a backtest.")],
    second: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of another one.")],
    out: Annotated[Path, typer.Option(help="Where the page of both goes.")] = Path("compare.html"),
    as_json: ForMachines = False,
) -> None:
    """Put two backtests side by side: their figures, the settings that differ, and a page with the curves of both."""
    from daemon.research.report import comparing
    from daemon.screens.cells import terminal

    with mistakes():
        pair = comparing.Pair(first, second)
        comparing.write(pair, out)
    if as_json:
        told({**comparing.mapping(pair), "page": str(out)})
        return
    terminal().print(comparing.in_words(pair))
    typer.echo(f"page in {out}")


def _meant(accounts: Sequence[Config], symbol: str, account: str) -> Config:
    """The account that is named, or the only one that trades the symbol."""
    from daemon.telling.why import match

    named = [each for each in accounts if each.account == account] if account else accounts
    trading = [each for each in named if len(accounts) == 1 or match(symbol, each.universe.symbols)]
    if len(trading) != 1:
        names = ", ".join(each.account for each in trading or accounts)
        fail(f"{symbol} is traded on {names if trading else 'no such account'}; name one with --account, of {names}", 2)
    return trading[0]


def _traced(accounts: Sequence[Config], wave: str, account: str, no_daemon: str) -> Mapping[str, object]:
    """The wave out of the file of the account that is named, or of the only one."""
    from daemon.screens import tracescreen

    meant = [each for each in accounts if account in ("", each.account)]
    if len(meant) != 1:
        fail(f"name an account with --account, of {', '.join(each.account for each in accounts)}", 2)
    try:
        with mistakes():
            return tracescreen.journalled(_journal(meant[0], no_daemon), wave)
    except tracescreen.NoSuchWave as error:
        fail(str(error), 1)


def _journal(settings: Config, no_daemon: str) -> Path:
    path = settings.journal_path(os.environ, Path.cwd())
    if not path.exists():
        fail(f"{no_daemon} and there is no journal at {path}", 1)
    return path


def _journalled(settings: Config, symbol: str, decision: str | None, no_daemon: str) -> Mapping[str, object]:
    """The same story out of the journal's file."""
    from daemon.core.plain import plain
    from daemon.telling import apart
    from daemon.telling.why import NoSuchDecision, from_journal

    path, fenced = _journal(settings, no_daemon), settings.reconcile.foreign == "ringfence"
    kept = partial(apart.journalled, path, removed=settings.removed_strategies == "keep", fenced=fenced)
    try:
        with mistakes():
            told = from_journal(path, symbol, decision, sorted(settings.universe.symbols), kept)
    except NoSuchDecision as error:
        fail(str(error), 1)
    return {key: plain(value) for key, value in told.items()}


def _show(
    what: Literal["status", "positions", "targets", "orders", "fills", "analysis"],
    url: str | None,
    config: Path | None,
    *,
    as_json: bool,
    limit: int | None = None,
) -> None:
    from daemon.screens import show  # the daemon itself needs neither an HTTP client nor tables

    _, where, token = address(url, config)
    try:
        show.show(what, where, token=token, as_json=as_json, limit=limit)
    except show.NoAnswer as error:
        fail(str(error), 1)
