"""Alerts: log lines that a person is sent, over webhooks and what apprise knows.

Rule: a channel that is slow, dead or wrong costs trading nothing. To hear a line is to put it into a bounded queue; one job a channel does
the rest, and whatever goes wrong there is a line in the log. What is sent has passed the log's own redaction; an address is never told.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

import httpx
import structlog

from daemon.core.plain import Plain
from daemon.core.vigil import Backoff
from daemon.io.alerts_apprise import Apprise, Failure, Post
from daemon.io.alerts_sieve import SEVERITY, Alert, Line, Sieve
from daemon.io.clock import Clock

# Lines heard and not looked at yet: what comes while one request waits for its time-out.
INBOX_MAX: Final = 1000
# Alerts that wait to be sent. A person reads no hundred of them, and at one a second they are two minutes.
QUEUE_MAX: Final = 100
# Connection, request and answer together. Chat services answer within one second, or are not well.
TIMEOUT_S: Final = 10.0
# Between two alerts of a channel; Slack takes one a second (docs.slack.dev/apis/web-api/rate-limits).
SPACING_S: Final = 1.0
# Doubling from one second to thirty, that is some eight minutes of one alert; the next is then tried in its place.
ATTEMPTS_MAX: Final = 20
# A service that asks for more patience than this gets this much.
RETRY_AFTER_MAX_S: Final = 300.0
# A stop waits this long for what is queued: what has happened is in the log anyway.
FLUSH_S: Final = 1.5

# 16 kB of payload is what every service takes; a line with more keeps what is short.
FIELDS_MAX: Final = 12_000
TEXT_MAX: Final = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One channel as configured. `name` stands for it in the log; `url` is a secret. `local`: it is on this machine."""

    name: str
    by: Literal["webhook", "apprise"]
    url: str
    local: bool
    level: str
    events: tuple[str, ...]
    min_interval_s: float


class Alerts:
    """All channels of an instance: the log's second ear."""

    def __init__(self, recipients: Iterable[Recipient], identity: Mapping[str, str], clock: Clock, rng: Random) -> None:
        self._channels = [Channel(each, identity, clock, rng) for each in recipients]

    def wants(self, level: str, event: str) -> bool:
        """Whether some channel has a use for such a line; any thread may ask."""
        return any(channel.sieve.wants(level, event) for channel in self._channels)

    def hear(self, line: Line) -> None:
        """Queue a line of the log, redacted and in JSON's own types, for every channel; any thread may tell it, and nobody waits."""
        for channel in self._channels:
            channel.hear(line)

    def jobs(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What sends, a job a channel, so that none of them waits for another."""
        return [(channel.name, channel.run) for channel in self._channels]

    async def close(self, together: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Try once to send what is queued, for at most `FLUSH_S`, and close every connection. The jobs have ended before."""
        await together(*(channel.close() for channel in self._channels))


class Channel:
    """The way of alerts to one recipient: inbox, sieve, queue, request."""

    def __init__(
        self, recipient: Recipient, identity: Mapping[str, str], clock: Clock, rng: Random, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.name = recipient.name
        self.sieve = Sieve(recipient.level, recipient.events, recipient.min_interval_s)
        self._identity = identity
        self._clock = clock
        self._post: Post = Apprise(recipient.url, timeout_s) if recipient.by == "apprise" else Webhook(recipient, timeout_s)
        self._backoff = Backoff(rng, first_s=1.0, spacing_s=SPACING_S)
        self._inbox: deque[Line] = deque(maxlen=INBOX_MAX)
        self._queue: deque[Alert] = deque()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._attempts = 0
        self._numbers = 0
        self.dropped = 0

    def hear(self, line: Line) -> None:
        """Take a line in; the oldest goes when too many wait."""
        self.dropped += len(self._inbox) == INBOX_MAX
        self._inbox.append(line)
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # a thread that outlives the loop
                loop.call_soon_threadsafe(self._news.set)

    async def run(self) -> None:
        """Send what is due, one at a time and in order, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._sift()
                mono = self._clock.monotonic()
                if not self._queue:
                    await self._something()
                elif (pause_s := self._backoff.wait_s(mono)) > 0:
                    await self._clock.sleep(pause_s)
                else:
                    await self._attempt()
        finally:
            self._loop = None

    async def close(self) -> None:
        """One attempt for each alert that waits, as far as time allows, and the end of the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                self._sift()
                while self._queue and await self._attempt():
                    continue
        await self._post.close()

    async def test(self, line: Line) -> Failure | None:
        """Send one line now, past sieve and queue; why it has not arrived, None if it has."""
        try:
            return await self._send(Alert(line), 0)
        finally:
            await self._post.close()

    # --- what is to be sent ------------------------------------------------------------------------------------------

    def _sift(self) -> None:
        """Inbox to queue."""
        mono = self._clock.monotonic()
        while self._inbox:
            self._enqueue(self.sieve.take(self._inbox.popleft(), mono))
        self._enqueue(self.sieve.due(mono))

    def _enqueue(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self._queue.append(alert)
            if len(self._queue) > QUEUE_MAX:
                self._drop()

    def _drop(self) -> None:
        """Let the oldest of the least severe go."""
        severities = [SEVERITY[str(alert.line["level"])] for alert in self._queue]
        del self._queue[(first := severities.index(min(severities)))]
        self._attempts = self._attempts if first else 0
        self.dropped += 1

    async def _something(self) -> None:
        """Wait for a line, or for the moment at which the sieve has something to tell."""
        self._news.clear()
        if self._inbox:
            return
        at = self.sieve.next_at
        with suppress(TimeoutError):
            async with asyncio.timeout(None if at is None else max(0.0, at - self._clock.monotonic())):
                await self._news.wait()

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _attempt(self) -> bool:
        """Try to send the oldest alert once. False: it did not arrive."""
        alert, began, dropped = self._queue[0], self._clock.monotonic(), self.dropped
        self._backoff.tried(began)
        self._attempts += 1
        failure = await self._send(alert, dropped)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        told = {"channel": self.name, "of": alert.line["event"], "attempts": self._attempts}
        if failure is None:
            self.dropped -= dropped
            self._backoff.recovered()
            self._done()
            log.info("alert.sent", **told, suppressed=alert.suppressed, dropped=dropped, took_ms=took_ms)
            return True
        self._backoff.failed(began, self._clock.monotonic(), min(failure.retry_after_s, RETRY_AFTER_MAX_S))
        given_up = failure.final or self._attempts >= ATTEMPTS_MAX
        if given_up:
            self.dropped += 1
            self._done()
        if given_up or told["attempts"] == 1:
            log.warning("alert.failed", **told, reason=failure.reason, given_up=given_up, waiting=len(self._queue))
        return False

    def _done(self) -> None:
        self._queue.popleft()
        self._attempts = 0
        self._numbers += 1

    async def _send(self, alert: Alert, dropped: int) -> Failure | None:
        try:
            return await self._post.send(payload(alert, self._identity, self._numbers + 1, dropped))
        except Exception as error:
            # Whatever it is, it must not end the daemon; its text may hold the address, so only its kind is told.
            return Failure(type(error).__name__)


class Webhook:
    """Posts the body as JSON, and hears what the service says to that."""

    def __init__(self, recipient: Recipient, timeout_s: float) -> None:
        self._url = recipient.url
        self._timeout_s = timeout_s
        # The proxy of the environment is for the internet, not for what listens here. A redirect would take the alert elsewhere.
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=not recipient.local, follow_redirects=False)

    async def send(self, body: Mapping[str, Plain]) -> Failure | None:
        """Whether it has arrived; an exception says that it has not, too."""
        headers = {"Content-Type": "application/json", "User-Agent": "rebalanced"}
        content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        # The time-outs of httpx are for each read; a server that sends a byte now and then would be waited for without end.
        async with (
            asyncio.timeout(self._timeout_s),
            self._client.stream("POST", self._url, content=content, headers=headers) as answer,
        ):
            return verdict(answer.status_code, answer.headers.get("Retry-After", ""))

    async def close(self) -> None:
        """End its connections."""
        await self._client.aclose()


def verdict(status: int, retry_after: str) -> Failure | None:
    """What an answer means; None: it has arrived. Too many requests, time-outs and troubles of the server pass, other refusals do not."""
    if 200 <= status < 300:
        return None
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9 else 0.0
    return Failure(f"http_{status}", final=status not in (408, 425, 429) and status < 500, retry_after_s=seconds)


# --- what is said ----------------------------------------------------------------------------------------------------


def payload(alert: Alert, identity: Mapping[str, str], number: int, dropped: int) -> dict[str, Plain]:
    """The body of a request. `text` is the same in one line, for chat services; `dropped` counts alerts that never arrived."""
    line = alert.line
    fields = short({name: value for name, value in line.items() if name not in ("ts", "level", "event", "name")})
    head = f"{identity['name']} ({identity['mode']}) {line['level']}: {line['event']}"
    counts = {"suppressed": alert.suppressed, "dropped": dropped, "standing_s": alert.standing_s}
    said: dict[str, Plain] = {name: value for name, value in counts.items() if value}
    return {
        "id": f"{identity['name']}-{line['ts']}-{number}",
        "instance": identity["name"],
        "mode": identity["mode"],
        "event": line["event"],
        "level": line["level"],
        "time": line["ts"],
        "fields": fields,
        **said,
        "text": harmless(" ".join([head, *(f"{name}={value}" for name, value in (fields | said).items() if _is_word(value))])),
    }


def short(fields: Mapping[str, Plain]) -> dict[str, Plain]:
    """Fields of a bounded size: long texts are cut, and of a line with too much only what is no list or mapping is kept."""
    cut: dict[str, Plain] = {name: value[:TEXT_MAX] if isinstance(value, str) else value for name, value in fields.items()}
    if len(json.dumps(cut)) <= FIELDS_MAX:
        return cut
    words = [(name, value) for name, value in cut.items() if _is_word(value)]
    return dict(words[: FIELDS_MAX // (2 * TEXT_MAX)]) | {"left_out": True}


def harmless(text: str) -> str:
    """One line in which an exchange's words cannot call anybody or hide a link: chat services read <...> and & as commands."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text[: 2 * TEXT_MAX])
    return printable.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_word(value: Plain) -> bool:
    return value is not None and not isinstance(value, list | dict)
