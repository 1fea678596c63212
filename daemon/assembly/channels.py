"""Channels: the sections alerts and heartbeat become recipients and a beat, with their addresses.

Rule: Config objects end here, as they do in worlds.py.
"""

from urllib.parse import urlsplit

from daemon.config import Config, ConfigError, Secrets
from daemon.config.values import is_loopback
from daemon.io.alerts import Recipient
from daemon.io.alerts_apprise import NoApprise, known
from daemon.io.alerts_heartbeat import Beat


def recipients(config: Config, secrets: Secrets) -> tuple[Recipient, ...]:
    """The channels to a person, with their addresses.

    Raises:
        ConfigError: what is to go over apprise, and cannot.
    """
    _see_apprise(config, secrets)
    return tuple(
        Recipient(
            name=f"alerts[{index}]",
            by="webhook" if channel.apprise is None else "apprise",
            url=address.reveal(),
            local=is_loopback(urlsplit(address.reveal()).hostname or ""),
            level=channel.level,
            events=channel.events,
            min_interval_s=channel.min_interval.total_seconds(),
        )
        for index, (channel, address) in enumerate(zip(config.alerts, secrets.addresses, strict=True))
    )


def _see_apprise(config: Config, secrets: Secrets) -> None:
    """See at the start whether apprise is there, and knows the addresses: who is never told would not notice."""
    problems = []
    for index, (channel, address) in enumerate(zip(config.alerts, secrets.addresses, strict=True)):
        try:
            if channel.apprise is not None:
                known(address.reveal())
        except NoApprise as error:
            problems.append(f"{config.source}: alerts[{index}].apprise {error}")
    if problems:
        raise ConfigError(problems)


def beat(config: Config, secrets: Secrets) -> Beat | None:
    """What is asked every few minutes, for somebody who notices that it is not; None: nothing."""
    if config.heartbeat is None or secrets.heartbeat is None:
        return None
    url = secrets.heartbeat.reveal()
    return Beat(url, is_loopback(urlsplit(url).hostname or ""), config.heartbeat.every.total_seconds())
