"""Checks: what `rebalanced check` says of a configuration before anything is traded.

Rule: it sends no order and opens no journal.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from daemon.assembly import riskrules
from daemon.assembly.deciding import runner, runner_of
from daemon.assembly.rosters import remarks, sleeve
from daemon.assembly.worlds import door
from daemon.config import Config, Secrets
from daemon.config.values import plain as numbers
from daemon.core.model import Balance, currencies
from daemon.core.plain import plain
from daemon.io.clock import SystemClock
from daemon.io.exchange import Fatal, Reason, VenueError
from daemon.parts import StartRefused, dangerous_key, refused_key


def summary(settings: Config) -> str:
    """What would trade, one line a fact.

    Raises:
        ConfigError: parameters of a strategy that do not fit what is traded.
    """
    breakers = riskrules.breakers(settings)
    need = max(runner(settings).need, breakers.need)
    lines = [
        f"{settings.source}: {settings.instance}, mode {settings.mode}, {settings.exchange.id} {settings.exchange.market}",
        f"trades {len(settings.universe.symbols)} symbols in {settings.universe.quote}: {', '.join(settings.universe.symbols)}",
        f"bars of {settings.timeframe} ({settings.bars.source}); {need} of them are read before the first decision",
    ]
    for strategy in settings.strategies:
        when = strategy.schedule.told(settings.bar_length)
        over = f" over {', '.join(sorted(set(strategy.route.values())))}" if strategy.route else ""
        lines.append(f"{strategy.name}: {strategy.use}{over}, share {strategy.share}, decides {when}; {_written(strategy.params)}")
    lines.append(f"limits: gross {settings.risk.gross:g}, weight_max {settings.risk.weight_max:g}")
    lines += [f"alerts[{index}]: {channel.told}" for index, channel in enumerate(settings.alerts)] or ["alerts: none"]
    lines.append(f"breakers: {', '.join(sorted(breakers.codes))}" if breakers.codes else "breakers: none")
    lines.append(f"journal: {settings.journal_path({}, Path())}")
    lines += [f"note: {text}" for text in remarks(settings)]
    return "\n".join(lines)


def _written(params: Any) -> str:
    """Parameters as they stand in a configuration."""
    given = asdict(params) if is_dataclass(params) and not isinstance(params, type) else params
    return json.dumps(numbers(given), ensure_ascii=False).replace('"', "").replace("null", "none")


def look_ahead(settings: Config, data: Path) -> tuple[bool, str]:
    """Whether no strategy knows the future, over the stored bars of `data`, and what was compared or found.

    Raises:
        DataError: the bars cannot be used.
    """
    from daemon.research import bars, lookahead

    stored = bars.load(data, settings.universe.symbols, settings.bar_length)

    reports = [
        lookahead.examine(wanted.name, partial(sleeve, settings, index), partial(runner_of, settings), stored)
        for index, wanted in enumerate(settings.strategies)
    ]
    return not any(report.findings or report.problem for report in reports), "\n".join(map(str, reports))


async def check_venue(settings: Config, secrets: Secrets) -> str:
    """Ask the exchange for the symbols' rules and, where there are keys, for the account.

    Raises:
        StartRefused: as `run` would be refused, or the exchange does not answer.
    """
    exchange = door(settings, secrets, SystemClock())
    try:
        markets = await exchange.connect()
        await exchange.bars(settings.universe.symbols[0], settings.bar_length, limit=1)  # it has candles of this length
        held = {} if settings.mode == "paper" else await exchange.balances()
        rights = await exchange.rights() if settings.mode in ("live", "shadow") else None
    except VenueError as error:
        if error.reason in (Reason.CREDENTIALS, Reason.PERMISSION):
            raise StartRefused(refused_key(str(settings.source), settings.place, error), 77) from None
        if isinstance(error, Fatal):
            raise StartRefused(f"{settings.source}: {error.text}", 78) from None
        raise StartRefused(f"{settings.exchange.id} does not answer ({error.text}); try again later, or check with --offline", 1) from None
    finally:
        await exchange.close()
    if rights is not None and rights.withdraws and settings.mode == "live" and not settings.live.key_may_withdraw:
        raise StartRefused(dangerous_key(str(settings.source), settings.place), 77)
    lines = [f"{settings.exchange.id} answers; every symbol is listed:"]
    for m in sorted(markets.values(), key=lambda m: m.symbol):
        step, tick, least = plain(m.amount_step), plain(m.price_tick), plain(m.notional_min)
        lines.append(f"  {m.symbol}: steps of {step} {m.base}, prices of {tick}, at least {least} {m.quote}")
    if rights is not None:
        may = "withdraw, read and trade" if rights.withdraws else "read and trade, not withdraw"
        lines.append(f"the key may {may}, from {'its own addresses only' if rights.bound else 'any address: bind it to yours'}")
    if held:
        lines += _holdings(held, {c for symbol in settings.universe.symbols for c in currencies(symbol)})
    return "\n".join(lines)


def _holdings(held: Mapping[str, Balance], managed: set[str]) -> list[str]:
    """What the account holds, apart what is left alone: a coin of no universe."""
    ours, others = (
        [f"{plain(b.total)} {c}" for c, b in sorted(held.items()) if b.total and (c in managed) is mine] for mine in (True, False)
    )
    lines = [f"the account holds {', '.join(ours) or 'nothing that is traded here'}"]
    return lines + ([f"left alone, since no symbol trades it: {', '.join(others)}"] if others else [])
