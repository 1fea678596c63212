"""Channels in the configuration: what is taken as an address, what is refused, and that none is repeated."""

from datetime import timedelta
from pathlib import Path

import pytest

from daemon.assembly.channels import recipients
from daemon.config import ConfigError, resolve_secrets
from tests.test_config import CANARY, SAMPLE, read, refusals, toy_registry
from tests.test_config_secrets import environ

HOW = "https://HOST/PATH, or http to 127.0.0.1"
REFERENCE = "{env: NAME}, {file: PATH} or {credential: NAME}"

__all__ = ["environ", "toy_registry"]  # fixtures that count in this file too


def with_alerts(text: str) -> str:
    return f"{SAMPLE}alerts: {text}\n"


def test_channels_arrive_as_written(tmp_path: Path, environ: dict[str, str]) -> None:
    """An address from the file or from where a reference leads, with the defaults of what is left out."""
    text = with_alerts(
        "[{webhook: https://a.example/x}, {webhook: {env: HOOK}, level: warning, events: [order., wave.settled], min_interval: 1m}]"
    )
    config = read(tmp_path, text)
    secrets = resolve_secrets(config, {**environ, "HOOK": "http://127.0.0.1:9/hook\n"})
    one, two = recipients(config, secrets)
    assert (one.name, one.url, one.local, one.level, one.events) == ("alerts[0]", "https://a.example/x", False, "error", ())
    assert (two.name, two.url, two.local, two.level) == ("alerts[1]", "http://127.0.0.1:9/hook", True, "warning")
    assert (two.events, two.min_interval_s) == (("order.", "wave.settled"), 60.0)
    assert config.alerts[0].min_interval == timedelta(minutes=5)


@pytest.mark.parametrize(
    "url", ["https://h.example", "https://h.example:8443/p?q=1", "http://127.0.0.1:1/x", "http://[::1]:1/", "http://localhost/x"]
)
def test_addresses_that_are_taken(tmp_path: Path, url: str) -> None:
    """Encrypted to anywhere, in clear to this machine."""
    assert read(tmp_path, with_alerts(f"[{{webhook: '{url}'}}]")).alerts[0].webhook == url


@pytest.mark.parametrize(
    ("webhook", "what"),
    [
        (f"http://h.example/{CANARY}", f"is an address that others can read along the way; write {HOW}"),
        (
            f"http://127.evil.example/{CANARY}",
            f"is an address that others can read along the way; write {HOW}",
        ),
        (f"ftp://h.example/{CANARY}", f"is not an address; write {HOW}"),
        (f"'https://h.example/a {CANARY}'", f"is not an address; write {HOW}"),
        (f"https://h.example:99999/{CANARY}", f"is not an address; write {HOW}"),
        (CANARY, f"is not an address; write {HOW}"),
        (
            "5",
            f"is not the address of a webhook; write {HOW}, or {REFERENCE}",
        ),
        (
            f"https://me:{CANARY}@h.example/x",
            f"is an address with a password; put it where only the daemon reads it, and write {REFERENCE}",
        ),
        (f"{{value: {CANARY}}}", f"does not name exactly one place of a secret; write {REFERENCE}"),
        ("{env: 'a b'}", None),
    ],
)
def test_addresses_that_are_refused(tmp_path: Path, webhook: str, what: str | None) -> None:
    """One sentence at the key, without what stands there."""
    (problem,) = refusals(tmp_path, with_alerts(f"[{{webhook: {webhook}}}]"))
    place, _, said = problem.partition(" ")
    assert place.startswith("alerts[0].webhook")
    assert what is None or said == what
    assert CANARY not in problem


@pytest.mark.parametrize("value", [CANARY, f"http://h.example/{CANARY}", "https://"])
def test_what_a_reference_leads_to_is_judged_too(tmp_path: Path, environ: dict[str, str], value: str) -> None:
    """An address that is found elsewhere must be one as well; the sentence does not repeat it."""
    config = read(tmp_path, with_alerts("[{webhook: {env: HOOK}}]"))
    with pytest.raises(ConfigError) as refused:
        resolve_secrets(config, {**environ, "HOOK": value})
    (problem,) = refused.value.problems
    assert problem.startswith(f"{config.source}: alerts[0].webhook refers to what is ")
    assert CANARY not in problem


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("level: info", "alerts[0].level"),
        ("events: [order]", "alerts[0].events[0]"),
        ("events: ['order.*']", "alerts[0].events[0]"),
        ("events: order.", "alerts[0].events"),
        ("min_interval: 0s", "alerts[0].min_interval"),
        ("url: x", "alerts[0].url"),
    ],
)
def test_what_else_is_refused(tmp_path: Path, rest: str, place: str) -> None:
    """Levels that would flood, patterns that are none, keys that do not exist."""
    (problem,) = refusals(tmp_path, with_alerts(f"[{{webhook: https://h.example/x, {rest}}}]"))
    assert problem.startswith(f"{place} ")


@pytest.mark.parametrize(
    ("event", "remedy"),
    [
        ("order.fild", "did you mean order.filled?"),
        ("trading.halt", "did you mean trading.halted?"),
        ("orders.", "did you mean order.?"),
        ("alert.sent", "docs/log-events.md names them all"),  # would tell of itself
        ("daemon.stopped", "did you mean daemon.stopping?"),  # written after the last alert
    ],
)
def test_an_event_that_never_comes_is_refused(tmp_path: Path, event: str, remedy: str) -> None:
    """A misspelt name would be waited for without end."""
    (problem,) = refusals(tmp_path, with_alerts(f"[{{webhook: https://h.example/x, events: [{event}]}}]"))
    assert problem == f"alerts[0].events[0] is no log event that is sent; {remedy}"


def test_an_address_is_kept_out_of_texts(tmp_path: Path, environ: dict[str, str]) -> None:
    """A configuration that is shown does not show it, and the log is told to hide it, the path alone too."""
    config = read(tmp_path, with_alerts(f"[{{webhook: https://h.example/services/{CANARY}xxxx}}]"))
    assert CANARY not in repr(config)
    secrets = resolve_secrets(config, environ)
    assert f"services/{CANARY}xxxx" in secrets.values()
    assert CANARY not in repr(secrets)
