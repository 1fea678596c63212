"""Command line: the verbs of the first hour: a configuration by questions, and what is wrong with machine, account and file.

Rule: neither sends an order, and neither overwrites anything unasked.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Final

import typer

from daemon.cli.shared import ConfigPath, ForMachines, attended, fail, mistakes, told
from daemon.config import load_all

first = typer.Typer()

EXAMPLE: Final = "rebalanced init my.yaml --mode paper"


@first.command()
def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where it goes; NAME.yaml unless given.", show_default=False)
    ] = None,
    name: Annotated[str, typer.Option(help="Of the instance; made of strategy and mode unless given.", show_default=False)] = "",
    mode: Annotated[str, typer.Option(help="paper, sandbox, shadow or live.", show_default="paper")] = "",
    exchange: Annotated[str, typer.Option(help="An exchange of ccxt.", show_default="binance")] = "",
    quote: Annotated[str, typer.Option(help="The asset that everything is paid in.", show_default="USDT")] = "",
    symbols: Annotated[
        str, typer.Option(help="BTC,ETH or BTC/USDT,ETH/USDT; of swaps BTC/USDT:USDT.", show_default="eight usual ones")
    ] = "",
    strategy: Annotated[str, typer.Option(help="A registered name, or ./my.py:Class.", show_default="portfolio_momentum")] = "",
    timeframe: Annotated[str, typer.Option(help="Length of a bar.", show_default="1h")] = "",
    capital: Annotated[str, typer.Option(help="all, or an amount of quote.", show_default="all")] = "",
    keys: Annotated[str, typer.Option(help="Where the keys are: env, file or credential.", show_default="env")] = "",
    understood: Annotated[bool, typer.Option("--i-understand", help="Mode live sends real orders, and that is what I want.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if there is one.")] = False,
) -> None:
    """Write a first configuration, by questions on a terminal and by options elsewhere: commented, checked, without any secret in it."""
    from daemon.config.params import registry
    from daemon.io.ccxt_abilities import has_passphrase
    from daemon.tools import firstconfig

    if file is not None and file.exists() and not force:
        fail(f"{file} exists and is not overwritten; name another file, or add --force", 2)
    mode = _answer(
        "mode", mode, "paper", "Mode: paper (simulated), sandbox (the exchange's test environment), shadow, live", _of(firstconfig.MODES)
    )
    if mode == "live" and not (
        understood or (attended() and typer.confirm("Mode live sends real orders with real money. Is that what you want?"))
    ):
        fail("mode live sends real orders: add --i-understand if that is what you want, or begin with --mode paper", 2)
    exchange = _answer("exchange", exchange, "binance", "Exchange, as ccxt calls it", _known_exchange)
    quote = _answer("quote", quote, "USDT", "Asset that everything is paid in", _same).upper()
    usual = ",".join(firstconfig.symbols_of("", quote))
    listed = firstconfig.symbols_of(_answer("symbols", symbols, usual, "Symbols", _same), quote)
    strategy = _answer("strategy", strategy, "portfolio_momentum", f"Strategy: {', '.join(registry())}, or ./my.py:Class", _same)
    timeframe = _answer("timeframe", timeframe, "1h", "Length of a bar", _same)
    question = "Money of the simulated account" if mode == "paper" else "How much of the account: all, or an amount"
    capital = _answer("capital", capital, "10000" if mode == "paper" else "all", question, _amount)
    ways = firstconfig.KEYS
    keys = _answer("keys", keys, "env", f"Where the keys are: {', '.join(ways)}", _of(ways)) if mode in firstconfig.KEYED else "env"
    usual = f"{strategy.rpartition(':')[2].rpartition('_')[2].lower()}-{mode}"
    name = _answer("name", name, file.stem if file else usual, "Name of the instance", _same)
    to = file or Path(_answer("file", "", f"{name}.yaml", "Where it goes", _same))
    answers = firstconfig.Answers(
        name=name,
        mode=mode,
        exchange=exchange,
        quote=quote,
        symbols=listed,
        strategy=strategy,
        timeframe=timeframe,
        capital=capital,
        keys=keys,
        passphrase=mode in firstconfig.KEYED and has_passphrase(exchange),
        understood=mode == "live",
    )
    try:
        with mistakes():
            firstconfig.write(answers, to, force=force)
    except firstconfig.CannotWrite as error:
        fail(str(error), 2)
    typer.echo(f"{to} is written and passes its check. Next:")
    for step in firstconfig.next_steps(answers, to):
        typer.echo(f"  {step}")


@first.command()
def doctor(config: ConfigPath, as_json: ForMachines = False) -> None:
    """Check machine, account and file: clock, disk, permissions, versions, key, network, exchange, journal; exit code 1 where one fails."""
    from daemon.tools.doctor import examined
    from daemon.tools.findings import Verdict

    with mistakes():
        accounts = load_all(config, os.environ)
    found = [(settings.account, finding) for settings in accounts for finding in asyncio.run(examined(settings, os.environ))]
    if as_json:
        told([{"account": account, **asdict(finding)} for account, finding in found])
    for account, finding in () if as_json else found:
        where = f"{account} " if account else ""
        typer.echo(f"{finding.verdict.value:<8} {where}{finding.check}: {finding.text}{f'; {finding.remedy}' if finding.remedy else ''}")
    wrong = sum(finding.verdict is Verdict.FAILED for _, finding in found)
    if wrong:
        fail(f"{wrong} of {len(found)} checks failed", 1)


Judge = Callable[[str], str]


def _answer(option: str, given: str, usual: str, question: str, judged: Judge) -> str:
    """What was given, or what a person answers, or what is usual where nobody can be asked; asked again until it can be."""
    if given or not attended():
        if refusal := judged(given or usual):
            fail(f"--{option} {given or usual} {refusal}; an example: {EXAMPLE}", 2)
        return given or usual
    while True:
        said = str(typer.prompt(question, default=usual)).strip()
        if not (refusal := judged(said)):
            return said
        typer.echo(f"{said} {refusal}")


def _same(_said: str) -> str:
    """Judged with the whole."""
    return ""


def _of(choices: tuple[str, ...]) -> Judge:
    return lambda said: "" if said in choices else f"is none of {', '.join(choices)}"


def _amount(said: str) -> str:
    try:
        fine = said == "all" or (Decimal(said).is_finite() and Decimal(said) > 0)
    except InvalidOperation:
        fine = False
    return "" if fine else "is neither all nor an amount"


def _known_exchange(said: str) -> str:
    from daemon.io.ccxt_abilities import has_passphrase
    from daemon.io.exchange import Fatal

    try:
        has_passphrase(said)
    except Fatal as error:
        return f"is not there: {error.text}"
    return ""
