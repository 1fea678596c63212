"""Channels: the sections alerts and heartbeat become webhooks and a beat, with their addresses.

Rule: Config objects end here, as they do in worlds.py.
"""

from urllib.parse import urlsplit

from daemon.config import Config, Secrets
from daemon.config.values import is_loopback
from daemon.io.alerts import Webhook
from daemon.io.alerts_heartbeat import Beat


def webhooks(config: Config, secrets: Secrets) -> tuple[Webhook, ...]:
    """The channels to a person, with their addresses."""
    return tuple(
        Webhook(
            name=f"alerts[{index}]",
            url=address.reveal(),
            local=is_loopback(urlsplit(address.reveal()).hostname or ""),
            level=channel.level,
            events=channel.events,
            min_interval_s=channel.min_interval.total_seconds(),
        )
        for index, (channel, address) in enumerate(zip(config.alerts, secrets.webhooks, strict=True))
    )


def beat(config: Config, secrets: Secrets) -> Beat | None:
    """What is asked every few minutes, for somebody who notices that it is not; None: nothing."""
    if config.heartbeat is None or secrets.heartbeat is None:
        return None
    url = secrets.heartbeat.reveal()
    return Beat(url, is_loopback(urlsplit(url).hostname or ""), config.heartbeat.every.total_seconds())
