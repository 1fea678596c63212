"""Alerts: the sections alerts and heartbeat. An address of either is often a secret of its own: whoever knows it can write there.

Rule: an address of apprise always holds keys, so it is given by reference only.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from daemon.config.lognames import known_event
from daemon.config.secrets import HOW, SecretRef
from daemon.config.section import Section
from daemon.config.values import choice, duration, is_loopback, words, wrong

HOW_TO_GIVE: Final = "https://HOST/PATH, or http to 127.0.0.1"


def wrong_address(url: str) -> str | None:
    """What is wrong with the address of a webhook, which nobody else may read on its way; None: nothing."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an address"
    if any(not sign.isprintable() or sign.isspace() for sign in url) or parts.scheme not in ("http", "https") or not host:
        return "is not an address"
    if parts.scheme == "http" and not is_loopback(host):
        return "is an address that others can read along the way"
    return None


def wrong_apprise(url: str) -> str | None:
    """What is wrong with an address of apprise, as far as that is known without it; None: nothing."""
    is_one = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f]+", url)
    return None if is_one else "is not an address of apprise"


def _webhook(given: Any) -> Any:
    """An address as it is, or a reference to one."""
    if isinstance(given, Mapping):
        return SecretRef.model_validate(given)
    if isinstance(given, SecretRef):
        return given
    if not isinstance(given, str):
        raise wrong("is not the address of a webhook", f"write {HOW_TO_GIVE}, or {HOW.removeprefix('write ')}")
    if problem := wrong_address(given):
        raise wrong(problem, f"write {HOW_TO_GIVE}")
    if "@" in urlsplit(given).netloc:
        raise wrong("is an address with a password", f"put it where only the daemon reads it, and {HOW}")
    return given


EventName = Annotated[
    str,
    BeforeValidator(known_event),
    *words(r"[a-z_]+\.[a-z_]*", "the name of a log event, or its beginning with a dot", "order.filled"),
]
WEBHOOK_SCHEMA = {"anyOf": [{"type": "string", "pattern": "^https?://"}, SecretRef.model_json_schema()]}


class HeartbeatConfig(Section):
    """An address that somebody else misses: a service that tells a person once it is asked no more."""

    url: Annotated[SecretRef | str, BeforeValidator(_webhook), WithJsonSchema(WEBHOOK_SCHEMA)] = Field(
        repr=False,
        description="What is asked by GET: an https address, or where it is, as {env: NAME}, {file: PATH} or {credential: NAME}.",
        examples=["{env: REBALANCED_HEARTBEAT}"],
    )
    every: Annotated[timedelta, *duration("10s", "1h")] = Field(
        default=timedelta(minutes=5), description="How often. Have the service wait for three of them before it tells anybody."
    )


class AlertConfig(Section):
    """A channel: which lines of the log are sent to a person, and where."""

    webhook: Annotated[SecretRef | str | None, BeforeValidator(_webhook), WithJsonSchema(WEBHOOK_SCHEMA)] = Field(
        default=None,
        repr=False,
        description="Where JSON is posted: an https address, or where it is, as {env: NAME}, {file: PATH} or {credential: NAME}.",
        examples=["{env: REBALANCED_WEBHOOK}"],
    )
    apprise: SecretRef | None = Field(
        default=None,
        repr=False,
        description="Instead of webhook: where an address of apprise is (Telegram, e-mail, ntfy and others); needs rebalanced[alerts].",
        examples=["{env: REBALANCED_APPRISE}"],
    )
    level: Annotated[Literal["warning", "error"], choice("warning", "error")] = Field(
        default="error",
        description="Least severe level of the log that is sent. Changes of the trading state, drift, money that came or went, "
        "orders of other hands, and start and end of the daemon are sent at any.",
    )
    events: tuple[EventName, ...] = Field(
        default=(), description="Log events that are sent whatever their level: names, or beginnings like order. for all of them."
    )
    min_interval: Annotated[timedelta, *duration("1s", "1d")] = Field(
        default=timedelta(minutes=5),
        description="The same event about the same thing is sent once in this time, with the count of the rest.",
    )

    @model_validator(mode="before")
    @classmethod
    def _has_one_address(cls, given: Any) -> Any:
        """Judged before any key is looked at, since none may stand for another."""
        if isinstance(given, Mapping) and ("webhook" in given) == ("apprise" in given):
            raise wrong("has not exactly one address", "write webhook or apprise, as a key of it")
        return given

    @property
    def address(self) -> SecretRef | str:
        """Where the channel leads, or where that is written."""
        found = self.webhook if self.apprise is None else self.apprise
        if found is None:
            raise ValueError("a channel has an address: that is checked when it is read")
        return found

    @property
    def told(self) -> str:
        """For a person: what is sent where, without the address."""
        address, by = self.address, "the address" if self.apprise is None else "the apprise address"
        where = urlsplit(address).hostname if isinstance(address, str) else f"{by} in {address.place}"
        more = f", and {', '.join(self.events)}" if self.events else ""
        least = "errors" if self.level == "error" else "warnings and errors"
        return f"{least}{more}, to {where}"
