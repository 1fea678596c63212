"""Logs: one line an event on stdout, for machines (json) or people (console).

Rule: logging never blocks the loop, never floods the disk and never shows a secret. Lines of structlog and of every library's stdlib
logger take the same way: stamp, exception, limit, redact, render, queue; a thread of its own writes them.
"""

import json
import logging
import os
import queue
import re
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Literal, Protocol, TextIO
from urllib.parse import quote, quote_plus

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from daemon.core.plain import Plain, plain, rfc3339
from daemon.io.clock import Clock, SystemClock
from daemon.io.logs_console import console

Level = Literal["debug", "info", "warning", "error"]
Fields = MutableMapping[str, object]

# 4,096 lines are some 2 MB: a burst of a 500-symbol wave three times over, or minutes of a pipe that nobody reads (E14).
QUEUE_MAX: Final = 4096

# What the pace of bars, of the account or of decisions already bounds is never held back: a fill must be joined to its decision.
ESSENTIAL: Final = (
    "order.",
    "wave.",
    "trading.",
    "targets.",
    "risk.",
    "plan.",
    "slice.closed",
    "flow.",
    "account.reconciled",
    "daemon.",
    "log.",
)

# The rest may come from a loop of failures. Five lines show a pattern, one a minute that it goes on; over all keys of an event one every
# ten seconds is 2 MB a day, so an outage of 24 h with four kinds of complaint stays under 10 MB (E13). Fifty let a start show itself.
KEY_BURST, KEY_EVERY_S = 5, 60.0
EVENT_BURST, EVENT_EVERY_S = 50, 10.0
TOLD_AFTER_S: Final = 120.0  # what was held back waits so long for a later line to tell of it, and is then told by itself
KEYS_MAX: Final = 4096  # (event, key) pairs remembered: 500 symbols and eight kinds of event

# Libraries print keys and signed bodies at DEBUG, so none of them gets below INFO whatever the program's own level (H1); httpx tells
# every address at INFO, and that of a webhook is a secret.
CAPPED: Final = ("ccxt", "aiohttp", "asyncio", "urllib3")
HUSHED: Final = ("httpx", "httpcore")

# Shorter is no secret that anybody keeps, and replacing it would shred every line.
SECRET_MIN: Final = 6
_SIGNED = r"(?i:(?<=signature=)|(?<=sign=)|(?<=apikey=)|(?<=api_key=)|(?<=api-key=)|(?<=token=)|(?<=secret=)|(?<=listenkey=))[^&\s\"'<>]+"

_levels: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(
    level: Level,
    format: Literal["json", "console"],  # noqa: A002 - the configuration's own word
    name: str,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> None:
    """Route structlog and all stdlib logging to `stream` (stdout unless given); `name` is the instance. Ends an earlier set-up first."""
    shutdown()
    stream = stream or sys.stdout
    clock = clock or SystemClock()
    pipe = _Pipe(name, level, clock, redactor(secrets), _renderer(format, stream), _Writer(_sink(stream)))
    structlog.configure(
        processors=[pipe.process],
        # What is not written may still be wanted by an ear.
        wrapper_class=structlog.make_filtering_bound_logger(min(_levels[level], logging.INFO)),
        logger_factory=lambda *_: pipe,
        cache_logger_on_first_use=False,
    )
    handler = _Libraries(max(_levels[level], logging.INFO))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(handler.level)
    for library in CAPPED:
        logging.getLogger(library).setLevel(handler.level)
    for library in HUSHED:
        logging.getLogger(library).setLevel(max(handler.level, logging.WARNING))
    _running.append((pipe, handler))


def shutdown(timeout_s: float = 2.0) -> None:
    """Write what is queued, for at most `timeout_s` (a blocked pipe must not keep a stopping daemon), and undo `configure`."""
    while _running:
        pipe, handler = _running.pop()
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()
        pipe.close(timeout_s)


class Ear(Protocol):
    """Hears lines as they are said, redacted and in JSON's own types, whatever is written and whatever is held back. It must not wait."""

    def wants(self, level: str, event: str) -> bool:
        """Whether it has a use for such a line; any thread may ask."""
        ...

    def hear(self, line: Mapping[str, Plain]) -> None:
        """Take a line with its `ts`, `level`, `event`, `name` and fields; any thread may tell it."""
        ...


def listen(*ears: Ear) -> None:
    """Have every line of the program told to these too, from now on; none ends that. Without `configure` there is nothing to hear."""
    for pipe, _ in _running:
        pipe.ears = ears


@contextmanager
def about(account: str) -> Iterator[None]:
    """Have every line in here, and in the tasks that are begun in here, say which account it is about; "": there is only one."""
    if not account:
        yield
        return
    with structlog.contextvars.bound_contextvars(account=account):
        yield


def write(level: Level, event: str, fields: Mapping[str, object]) -> None:
    """One line, for callers that hold its parts as values."""
    structlog.get_logger().log(_levels[level], event, **fields)


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that puts *** for every secret, as it is or as URLs and JSON write it, and for signatures and keys in query strings."""
    known = {form for secret in secrets if len(secret) >= SECRET_MIN for form in _forms(secret)}
    pattern = re.compile("|".join([*(re.escape(form) for form in sorted(known, key=len, reverse=True)), _SIGNED]))
    return lambda text: pattern.sub("***", text)


def _forms(secret: str) -> tuple[str, ...]:
    # A file's secret often ends in a newline that is not part of what travels.
    bare = secret.strip()
    return tuple(form for form in (secret, bare, quote(bare, safe=""), quote_plus(bare), json.dumps(bare)[1:-1]) if form)


class _Pipe:
    """The way of a line from an event's fields to the queue; structlog's processor and its logger in one."""

    def __init__(
        self,
        name: str,
        level: Level,
        clock: Clock,
        redact: Callable[[str], str],
        render: Callable[[dict[str, Plain]], str],
        writer: "_Writer",
    ) -> None:
        self._name, self._clock, self._redact, self._render, self._writer = name, clock, redact, render, writer
        self._least = _levels[level]
        self._limiter = Limiter()
        self.ears: tuple[Ear, ...] = ()
        self._tracebacks = ExceptionDictTransformer(show_locals=False, max_frames=20)

    def process(self, _logger: object, level: str, fields: Fields) -> tuple[tuple[str], dict[str, object]]:
        """The rendered line as structlog hands it on. DropEvent: below the level, or held back by the limiter."""
        now = self._clock.now()
        event, level = str(fields.pop("event")), _known_level(level)
        fields = {**structlog.contextvars.get_contextvars(), **fields}
        line = self._tell(now, level, event, fields)
        if _levels[level] < self._least:
            raise structlog.DropEvent
        self._account_for(self._limiter.overdue(now))
        if level != "debug" and not event.startswith(ESSENTIAL):
            held_back = self._limiter.admit(event, _key(fields), now)
            if held_back is None:
                raise structlog.DropEvent
            if held_back:
                fields["suppressed"] = held_back
        heard = line is not None and fields.keys() <= line.keys()
        self._explain(fields)
        return (self._render(line if line is not None and heard else self._line(now, level, event, dict(fields))),), {}

    def _tell(self, now: datetime, level: str, event: str, fields: Fields) -> dict[str, Plain] | None:
        """Tell a line to the ears that have a use for it, and return it; None: to none of them. How an exception came is for the file."""
        ears = [ear for ear in self.ears if ear.wants(level, event)]
        if not ears:
            return None
        line = self._line(now, level, event, {name: value for name, value in fields.items() if name != "exc_info"})
        for ear in ears:
            ear.hear(line)
        return line

    def _line(self, now: datetime, level: str, event: str, fields: dict[str, object]) -> dict[str, Plain]:
        stamped: dict[str, object] = {"ts": rfc3339(now, microseconds=True), "level": level, "event": event, "name": self._name}
        # Redaction comes last, when nothing but plain values is left that could hide a secret: keys, nested values, exception texts.
        line = plain(stamped | fields | stamped, self._redact)
        assert isinstance(line, dict)  # noqa: S101 - a mapping becomes a mapping
        return line

    def _explain(self, fields: Fields) -> None:
        error = fields.pop("exc_info", None)
        if error is True:
            error = sys.exc_info()
        if isinstance(error, tuple):
            error = error[1]
        if isinstance(error, BaseException):
            fields["exception"] = self._tracebacks((type(error), error, error.__traceback__))

    def msg(self, line: str) -> None:
        """Queue a rendered line."""
        self._writer.put(line, self._lost)

    debug = info = warning = error = critical = fatal = msg

    def _lost(self, lines: int) -> str:
        return self._render(self._line(self._clock.now(), "warning", "log.dropped", {"lines": lines}))

    def close(self, timeout_s: float) -> None:
        """Say what was held back and never said, then end the writer."""
        self._account_for(self._limiter.held_back())
        self._writer.close(timeout_s)

    def _account_for(self, held_back: Iterable[tuple[str, int]]) -> None:
        for event, count in held_back:
            self.msg(self._render(self._line(self._clock.now(), "info", "log.suppressed", {"of": event, "suppressed": count})))


_running: Final[list[tuple[_Pipe, "_Libraries"]]] = []  # none or one: stdout is the process's, so its set-up is too


def _known_level(level: str) -> str:
    return {"warn": "warning", "critical": "error", "fatal": "error", "exception": "error"}.get(level, level)


def _key(fields: Mapping[str, object]) -> str:
    """What a repeated event is about."""
    about = next((str(fields[name]) for name in ("symbol", "currency", "logger", "reason") if name in fields), "")
    return f"{fields['account']} {about}" if "account" in fields else about


class Limiter:
    """Lets through the first lines of a repeated event, then few, and counts the rest. Safe to use from several threads."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str | None], _Bucket] = {}
        self._held: dict[str, tuple[int, datetime]] = {}  # by event: how many lines, and since when
        self._lock = threading.Lock()

    def admit(self, event: str, key: str, now: datetime) -> int | None:
        """None: hold this line back. Else how many lines of the event were held back since the last one shown."""
        with self._lock:
            one = self._bucket((event, key), KEY_BURST, KEY_EVERY_S, now)
            if one.full(now) and self._bucket((event, None), EVENT_BURST, EVENT_EVERY_S, now).take(now):
                one.take(now)
                return self._held.pop(event, (0, now))[0]
            count, since = self._held.get(event, (0, now))
            self._held[event] = count + 1, since
            return None

    def overdue(self, now: datetime) -> list[tuple[str, int]]:
        """Events with lines held back that no later line has told of in time, and how many; whoever asks tells of them."""
        with self._lock:
            late = [event for event, (_, since) in self._held.items() if (now - since).total_seconds() >= TOLD_AFTER_S]
            return [(event, self._held.pop(event)[0]) for event in sorted(late)]

    def held_back(self) -> list[tuple[str, int]]:
        """Events with lines held back that no later line has told of, and how many."""
        with self._lock:
            return sorted((event, count) for event, (count, _) in self._held.items())

    def _bucket(self, of: tuple[str, str | None], burst: int, every_s: float, now: datetime) -> "_Bucket":
        bucket = self._buckets.pop(of, None) or _Bucket(burst, every_s, now)
        self._buckets[of] = bucket  # the last used stands last
        if len(self._buckets) > KEYS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return bucket


class _Bucket:
    """`burst` tokens, one more every `every_s` seconds."""

    def __init__(self, burst: int, every_s: float, now: datetime) -> None:
        self._tokens, self._burst, self._every_s, self._at = float(burst), burst, every_s, now

    def full(self, now: datetime) -> bool:
        """Whether there is a token to take."""
        # The wall clock may step back; that refills nothing and costs nothing.
        passed = max(0.0, (now - self._at).total_seconds())
        self._tokens, self._at = min(float(self._burst), self._tokens + passed / self._every_s), now
        return self._tokens >= 1

    def take(self, now: datetime) -> bool:
        """Take a token if there is one."""
        if not self.full(now):
            return False
        self._tokens -= 1
        return True


class _Libraries(logging.Handler):
    """Brings what libraries say by stdlib logging onto the same way; its level is the floor even for a logger set to DEBUG by hand."""

    def emit(self, record: logging.LogRecord) -> None:
        """One `library.message` line."""
        level = max(known for known in _levels.values() if known <= max(record.levelno, logging.DEBUG))
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        structlog.get_logger().log(level, "library.message", logger=record.name, message=message, exc_info=record.exc_info)


class _Writer:
    """A bounded queue and the one thread that may wait for the stream."""

    def __init__(self, sink: Callable[[str], None]) -> None:
        self._sink = sink
        self._queue: queue.Queue[tuple[str, Callable[[int], str]] | None] = queue.Queue(QUEUE_MAX)
        self._dropped = self._told = 0
        self._lock = threading.Lock()
        # A daemon thread: one that hangs in a write to a blocked pipe must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: str, lost: Callable[[int], str]) -> None:
        """Queue a line, or count it as dropped when the queue is full; `lost` words the count once lines flow again."""
        try:
            self._queue.put_nowait((line, lost))
        except queue.Full:
            with self._lock:
                self._dropped += 1

    def close(self, timeout_s: float) -> None:
        """Let the thread finish what is queued, for at most `timeout_s`."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            line, lost = item
            try:
                self._sink(line + "\n")
                if (dropped := self._dropped) > self._told:
                    self._sink(lost(dropped - self._told) + "\n")
                    self._told = dropped
            except (OSError, ValueError):
                continue  # nobody reads any more (a closed pipe, a closed file): the daemon trades on


def _sink(stream: TextIO) -> Callable[[str], None]:
    """A function that writes text to `stream`, past its buffer where it has a descriptor.

    A thread blocked inside sys.stdout would hold its lock, and the interpreter aborts when it cannot flush at exit.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return lambda text: (stream.write(text), stream.flush())[1]
    stream.flush()

    def write_all(text: str) -> None:
        rest = memoryview(text.encode("utf-8", "replace"))
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                select.select([], [descriptor], [], 1.0)

    return write_all


def _renderer(format: str, stream: TextIO) -> Callable[[dict[str, Plain]], str]:  # noqa: A002
    if format == "console":
        colours = stream.isatty() and not os.environ.get("NO_COLOR")
        return lambda line: console(line, colours=colours)
    return lambda line: json.dumps(line, allow_nan=False, separators=(",", ":"))
