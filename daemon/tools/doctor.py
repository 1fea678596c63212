"""Doctor: what is wrong with this machine, this account and this file, before money is at stake.

Rule: every check says one line, whatever happens to it: a check that cannot be made is a finding, too. No order is sent, no journal opened
to be written, and no address or key repeated.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from daemon.assembly.channels import beat, recipients
from daemon.assembly.worlds import door
from daemon.config import Config, ConfigError, Secrets, resolve_secrets
from daemon.io.ccxt_abilities import abilities
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.clock import SystemClock
from daemon.io.exchange import Fatal, Reason, SetUp, VenueError
from daemon.parts import StartRefused, dangerous_key, refused_key
from daemon.tools import doctor_machine as machine
from daemon.tools.checks import summary
from daemon.tools.findings import Finding, failed, ok, warning

CONNECT_S: Final = 5.0  # a host on the other side of the world answers within one
OFFSET_WISHED_S: Final = 0.25  # signatures allow for it, and clock_skew pauses trading at a second
KEYED: Final = ("sandbox", "shadow", "live")

# Which ability a style needs in addition, by its name in a configuration.
STYLE_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {"limit": ("limit_orders",), "maker_then_taker": ("limit_orders", "resting_orders")}


async def examined(settings: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Every finding about one account of a configuration that can be read, in the order in which one would look."""
    path = settings.journal_path(environ, Path.cwd())
    found = [*machine.program(), machine.clock(), *machine.disk(path), *machine.permissions(settings, path), machine.record(path)]
    found.append(_configured(settings))
    try:
        secrets = resolve_secrets(settings, environ)
    except ConfigError as error:
        found += [failed("secrets", what, remedy) for what, _, remedy in (problem.rpartition("; ") for problem in error.problems)]
        return found
    found.append(ok("secrets", "every secret is where the configuration says"))
    found += [*_able(settings), *await _told(settings, secrets), *await _asked(settings, secrets)]
    return found


# What of swaps is done without where an exchange has it not.
OF_SWAPS: Final = ("mark_prices", "funding_rates", "mark_candles", "past_funding_rates")


def _configured(settings: Config) -> Finding:
    try:
        summary(settings)
    except ConfigError as error:
        return failed("config", "; ".join(error.problems), "correct the file; `rebalanced check` tells the same")
    return ok("config", f"{settings.source} can be run, in mode {settings.mode}")


def _able(settings: Config) -> Iterator[Finding]:
    """What the exchange can do of what this configuration makes use of, as far as ccxt knows."""
    try:
        can = abilities(settings.exchange.id, settings.exchange.market, settings.timeframe)
    except Fatal as error:
        yield failed("abilities", error.text, "correct exchange.id")
        return
    needed = ["timeframe", *(["market_orders", "own_ids"] if settings.mode != "paper" else [])]
    style = "limit" if settings.execution.style == "twap" and settings.execution.twap.child == "limit" else settings.execution.style
    needed += STYLE_NEEDS.get(style, ()) if settings.mode != "paper" else ()
    needed += ["bar_streams"] if settings.bars.source == "stream" else []
    missing = [name.replace("_", " ") for name in needed if not can[name]]
    wished = [name.replace("_", " ") for name in ("bar_streams", "account_streams") if not can[name] and name not in needed]
    unmarked = [name.replace("_", " ") for name in OF_SWAPS if not can.get(name, True)]
    if unmarked:
        text = f"{settings.exchange.id} has no {', no '.join(unmarked)}, as far as ccxt knows"
        yield warning("abilities", text, "expect positions at their last price, and backtests without what is missing")
    if missing:
        text = f"{settings.exchange.id} has no {', no '.join(missing)}, as far as ccxt knows"
        yield failed("abilities", text, "choose another timeframe, execution.style or bars.source, or another exchange")
    elif wished:
        yield warning(
            "abilities", f"{settings.exchange.id} has no {', no '.join(wished)}: it is asked by polling", "expect news to be seconds old"
        )
    else:
        yield ok("abilities", f"{settings.exchange.id} has what this configuration makes use of")


async def _told(settings: Config, secrets: Secrets) -> list[Finding]:
    """Whether the hosts of those who are told can be reached; nothing is sent to them. Where apprise sends to, it alone knows."""
    wanted = [(channel.name, channel.url) for channel in recipients(settings, secrets) if channel.by == "webhook"]
    pulse = beat(settings, secrets)
    wanted += [("heartbeat", pulse.url)] if pulse is not None else []
    found = []
    for name, url in wanted:
        parts = urlsplit(url)
        why = await reached(parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443), secure=parts.scheme == "https")
        if why:
            found.append(
                warning(
                    "network", f"the host of {name} cannot be reached ({why})", "look at the address; `rebalanced alert-test` sends one"
                )
            )
        else:
            found.append(ok("network", f"the host of {name} can be reached"))
    return found


async def reached(host: str, port: int, *, secure: bool) -> str:
    """Why a host cannot be reached, "" if it can."""
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context() if secure else None)
            writer.close()
    except TimeoutError:
        return f"no answer within {CONNECT_S:g} s"
    except ssl.SSLError as error:
        return f"TLS: {error.reason or 'refused'}"
    except OSError as error:
        return os.strerror(error.errno) if error.errno and error.errno > 0 else "no such host"
    return ""


# --- the exchange ----------------------------------------------------------------------------------------------------


async def _asked(settings: Config, secrets: Secrets) -> list[Finding]:
    """What the exchange says: whether it answers, its clock, its markets, and what the key may do."""
    try:
        venue = door(settings, secrets, SystemClock())
    except StartRefused as error:
        return [failed("exchange", str(error), "correct the file")]
    try:
        return [each async for each in _answers(settings, venue)]
    finally:
        await venue.close()


async def _answers(settings: Config, venue: CcxtExchange) -> AsyncIterator[Finding]:
    try:
        await venue.server_time()
        await venue.server_time()  # the first pays for the connection, so its time says little
    except VenueError as error:
        yield failed(
            "network",
            f"{settings.exchange.id} does not answer ({error.text})",
            "see that this machine reaches it; is it under maintenance?",
        )
        return
    yield ok("network", f"{settings.exchange.id} answers")
    yield _offset(settings, venue.clock_offset.total_seconds())
    try:
        markets = await venue.connect()
        await venue.bars(settings.universe.symbols[0], settings.bar_length, limit=1)
    except VenueError as error:
        yield _refused(settings, error)
        return
    yield ok("markets", f"all {len(markets)} symbols are listed, with bars of {settings.timeframe}")
    for symbol, text in (venue.unlike if isinstance(venue, SetUp) else {}).items():
        yield warning("markets", f"{symbol}: {text}", "set it at the exchange while nothing of it is held")
    if settings.mode in KEYED:
        yield ok("key", "the exchange takes the key")
    if settings.mode in ("shadow", "live"):
        yield await _rights(settings, venue)


def _offset(settings: Config, ahead_s: float) -> Finding:
    said = f"this machine's clock is {abs(ahead_s):.3f} s {'behind' if ahead_s > 0 else 'ahead of'} the exchange's"
    if abs(ahead_s) > settings.risk.breakers.clock_skew.limit.total_seconds():
        return failed("clock", said, "set it right: timedatectl set-ntp true, or chronyc makestep; trading pauses like this (clock_skew)")
    if abs(ahead_s) > OFFSET_WISHED_S:
        return warning("clock", said, "set it right: timedatectl set-ntp true, or install chrony")
    return ok("clock", said)


def _refused(settings: Config, error: VenueError) -> Finding:
    if error.reason in (Reason.CREDENTIALS, Reason.PERMISSION):
        return failed("key", refused_key(str(settings.source), settings.place, error), "make a new key, or correct where it is")
    if isinstance(error, Fatal):
        return failed("markets", error.text, "correct universe.symbols or timeframe")
    return failed("markets", f"{settings.exchange.id} has answered and then did not ({error.text})", "try again")


async def _rights(settings: Config, venue: CcxtExchange) -> Finding:
    """What the key may do beside trading."""
    try:
        rights = await venue.rights()
    except VenueError as error:
        return warning(
            "key_rights",
            f"the exchange does not say what the key may do ({error.text})",
            "look at the key's page there: trade, and nothing else",
        )
    if rights is None:
        return warning(
            "key_rights", f"{settings.exchange.id} does not tell what a key may do", "look at the key's page there: trade, and nothing else"
        )
    if rights.withdraws and not settings.live.key_may_withdraw:
        return failed("key_rights", dangerous_key(str(settings.source), settings.place), "make a key that may trade and nothing else")
    if rights.withdraws or not rights.bound:
        what = "may withdraw" if rights.withdraws else "works from any address"
        return warning("key_rights", f"the key {what}", "make one that may only read and trade, bound to this machine's address")
    return ok("key_rights", "the key may read and trade, from its own addresses only")
