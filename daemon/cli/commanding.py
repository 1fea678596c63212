"""Command line: the verbs that command a running daemon.

Rule: they go through the API like anybody else, with its token, and say in one sentence what was done or why not. What sells, or leaves a
halt, asks first.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.shared import TOKEN, AsJson, ConfigHere, ConfigOption, Url, about_and_config, address, confirmed, fail, named, user

commanding = typer.Typer()

About = Annotated[str, typer.Argument(metavar="[SYMBOL|STRATEGY]", help="What it is about; the whole account unless given.")]
Account = Annotated[str, typer.Option("--account", metavar="NAME", help="On one of several accounts; on all of them unless given.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@commanding.command()
def pause(
    about: About = "",
    here: ConfigHere = None,
    account: Account = "",
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Begin nothing new until `resume`; orders under way come to their end."""
    about, here = about_and_config(about, here)
    _command("pause", about, url, named(here, config), account, as_json=as_json)


@commanding.command()
def resume(
    about: About = "",
    here: ConfigHere = None,
    account: Account = "",
    yes: Yes = False,
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Lift what restricts trading: a pause, an exclusion, a halt (which asks first)."""
    about, here = about_and_config(about, here)
    if not yes:
        _ask_after_a_halt(url, named(here, config))
    _command("resume", about, url, named(here, config), account, as_json=as_json)


@commanding.command()
def rebalance(
    here: ConfigHere = None, account: Account = "", url: Url = None, config: ConfigOption = None, as_json: AsJson = False
) -> None:
    """Have every strategy decide now."""
    _command("rebalance", "", url, named(here, config), account, as_json=as_json)


@commanding.command()
def flatten(
    about: About = "",
    here: ConfigHere = None,
    account: Account = "",
    yes: Yes = False,
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Sell everything, or all of one symbol or strategy, and halt it until `resume`. Asks first."""
    about, here = about_and_config(about, here)
    if not yes:
        where = f" on account {account}" if account else ""
        confirmed(f"This sells everything {f'of {about}' if about else 'the daemon manages'}{where} at the market. Go on?")
    _command("flatten", about, url, named(here, config), account, as_json=as_json)


@commanding.command()
def exclude(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="BTC/USDT, or BTC where that names one.")],
    here: ConfigHere = None,
    account: Account = "",
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Leave a symbol alone, with what is held of it, until `resume SYMBOL`."""
    _command("exclude", symbol, url, named(here, config), account, as_json=as_json)


@commanding.command()
def approve(
    decision: Annotated[str, typer.Argument(metavar="[DECISION]", help="Its id; the one that waits unless given.")] = "",
    here: ConfigHere = None,
    account: Account = "",
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Let the wave go that waits for a person's word (execution.approve); `status` and the log say what it would send."""
    decision, here = about_and_config(decision, here)
    _command("approve", decision, url, named(here, config), account, as_json=as_json)


@commanding.command()
def resolve(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="Its id, as `orders` and the log have it.")],
    here: ConfigHere = None,
    url: Url = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """End an order in doubt that you have looked for at the exchange and that stands nowhere there; the account is taken as it is."""
    _command("resolve", order, url, named(here, config), as_json=as_json)


@commanding.command()
def reload(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Read the configuration again: validated whole, taken up between two waves, refused with the reason (as SIGHUP does)."""
    _command("reload", "", url, named(here, config), as_json=as_json)


@commanding.command()
def stop(here: ConfigHere = None, url: Url = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """End the daemon in order (as SIGTERM does)."""
    _command("stop", "", url, named(here, config), as_json=as_json)


def _command(verb: str, argument: str, url: str | None, config: Path | None, account: str = "", *, as_json: bool) -> None:
    from daemon.screens import cells, show  # the daemon itself needs neither an HTTP client nor tables

    _, where, token = address(url, config)
    if token is None:
        fail(f"commands need the daemon's token: name its configuration with --config CONFIG, or put the token into ${TOKEN}", 2)
    try:
        answer = show.command(where, verb, argument, user(), account, token=token)
    except show.NoAnswer as error:
        fail(str(error), 1)
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else cells.tame(str(answer.get("done", ""))))


def _ask_after_a_halt(url: str | None, config: Path | None) -> None:
    """Whoever leaves a halt should have read why there is one."""
    from daemon.screens import cells, show

    _, where, token = address(url, config)
    try:
        status = show.fetch(where, "/api/v1/status", token=token)
    except show.NoAnswer as error:
        fail(str(error), 1)
    if isinstance(status, dict) and status.get("state") == "halted":
        confirmed(f"Trading is halted: {cells.tame(str(status.get('reason', '')))}. Resume?")
