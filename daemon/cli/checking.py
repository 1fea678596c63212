"""Command line: the verbs that say what would be done, and do none of it.

Rule: they send no order and write no journal.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.shared import ConfigPath, ForMachines, fail, load_accounts, mistakes, told
from daemon.config import Config, Secrets

checking = typer.Typer()


@checking.command()
def check(
    config: ConfigPath,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no exchange.")] = False,
    lookahead: Annotated[bool, typer.Option("--lookahead", help="See whether a strategy looks ahead, over the bars of --data.")] = False,
    data: Annotated[Path | None, typer.Option(help="Directory of BASE_QUOTE-TIMEFRAME.parquet files, for --lookahead.")] = None,
    as_json: ForMachines = False,
) -> None:
    """Validate a configuration: the file, the secrets, the exchange, the symbols; print what would trade."""
    from daemon.tools.checks import summary

    if lookahead != (data is not None):
        fail("--lookahead and --data go together: rebalanced check --lookahead CONFIG --data DIR", 2)
    accounts = load_accounts(config, os.environ, need_secrets=not (offline or lookahead))
    with mistakes():
        facts = [summary(settings) for settings, _ in accounts]
        if not as_json:
            typer.echo("\n\n".join(facts))
        answers = [] if offline and data is None else _looked(accounts, data) if data is not None else _asked(accounts)
    if as_json:
        asked = "look_ahead" if data is not None else "exchange"
        given: list[list[str] | None] = [text.splitlines() for text in answers] if answers else [None for _ in accounts]
        told([
            {"account": settings.account, "file": settings.source, "summary": fact.splitlines(), asked: answer}
            for (settings, _), fact, answer in zip(accounts, facts, given, strict=True)
        ])  # fmt: skip
        return
    typer.echo("\n".join(answers) if answers else "not asked: the exchange (--offline)")


def _looked(accounts: Sequence[tuple[Config, Secrets]], data: Path) -> list[str]:
    """What was compared to see whether a strategy knows the future; the end where one does."""
    from daemon.tools.checks import look_ahead

    found = [look_ahead(settings, data) for settings, _ in accounts]
    if not all(clean for clean, _ in found):
        fail("\n".join(text for _, text in found), 1)
    return [text for _, text in found]


def _asked(accounts: Sequence[tuple[Config, Secrets]]) -> list[str]:
    """What each exchange says, once it is known that alerts can be sent."""
    from daemon.assembly.channels import recipients
    from daemon.tools.checks import check_venue

    recipients(*accounts[0])
    return [asyncio.run(check_venue(settings, secrets)) for settings, secrets in accounts]
