"""Lines as a machine and a person read them: their shape, what they hide, and that they never block or flood."""

import io
import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
import structlog

from daemon.io import logs

pytestmark = pytest.mark.made_up_lines
CANARY = "cAnArY+s3cret/42"
NOON = datetime(2026, 1, 2, 12, 0, 0, 123, tzinfo=UTC)


class Clock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    def stamp_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""


class Colour(StrEnum):
    RED = "red"


@pytest.fixture(autouse=True)
def after() -> Iterator[None]:
    """No test leaves its set-up behind."""
    levels = {name: logging.getLogger(name).level for name in ("", *logs.CAPPED, *logs.HUSHED)}
    yield
    logs.shutdown()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class Paper:
    """A configured log whose lines can be read back."""

    def __init__(self, level: logs.Level = "debug", style: Any = "json", secrets: tuple[str, ...] = (CANARY,)) -> None:
        self.clock = Clock()
        self._stream = io.StringIO()
        logs.configure(level, style, "demo", secrets, self._stream, self.clock)
        self.log = structlog.get_logger()

    def text(self) -> str:
        logs.shutdown()
        return self._stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


def test_a_line_is_a_json_object_of_the_stated_shape() -> None:
    """It has ts with microseconds and Z, level, event, name, then the fields: money as strings, NaN as null, enums as their values."""
    paper = Paper()
    paper.log.info(
        "order.filled",
        amount=Decimal("1E-8"),
        price=float("nan"),
        side=Colour.RED,
        at=NOON,
        fees=[{"amount": Decimal("0.1")}],
        name="other",
    )
    (line,) = paper.lines()
    assert list(line)[:4] == ["ts", "level", "event", "name"]
    assert line == {
        "ts": "2026-01-02T12:00:00.000123Z",
        "level": "info",
        "event": "order.filled",
        "name": "demo",
        "amount": "0.00000001",
        "price": None,
        "side": "red",
        "at": "2026-01-02T12:00:00.000123Z",
        "fees": [{"amount": "0.1"}],
    }


def test_lines_below_the_level_are_not_written() -> None:
    """At info, debug is silent."""
    paper = Paper("info")
    paper.log.debug("bar.closed")
    paper.log.info("daemon.ready")
    assert [line["event"] for line in paper.lines()] == ["daemon.ready"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_hidden_wherever_they_stand(style: str) -> None:
    """In values, keys, nested ones, exceptions with causes, library messages, URLs, and as URLs or JSON write them."""
    paper = Paper(style=style, secrets=(CANARY, 'quo"ted-secret', "file-secret\n", ""))
    paper.log.warning(
        "order.unknown", text=f"key {CANARY}!", nested={CANARY: [f"<{CANARY}>"]}, quoted='a quo"ted-secret b', file="x file-secret y"
    )
    paper.log.warning("order.unknown", url="https://x/api?apiKey=abcdef&a=1&signature=0123abcd&b=2", encoded="cAnArY%2Bs3cret%2F42")
    logging.getLogger("ccxt.base").warning("GET %s", CANARY)
    try:
        try:
            raise ValueError(CANARY)
        except ValueError as cause:
            raise RuntimeError(f"while {CANARY}") from cause
    except RuntimeError:
        paper.log.exception("api.failed")
    text = paper.text()
    for secret in (CANARY, "ted-secret", "file-secret", "0123abcd", "abcdef", "%2Bs3cret"):
        assert secret not in text
    assert "***" in text
    assert "b=2" in text


def test_exceptions_are_fields_without_locals() -> None:
    """An exception keeps its type, text and places; what local variables held is not told."""
    paper = Paper()
    local = "only-a-local"
    try:
        raise LookupError("gone")
    except LookupError:
        paper.log.exception("api.failed")
    assert local
    text = paper.text()
    (line,) = [json.loads(row) for row in text.splitlines()]
    assert line["level"] == "error"
    assert line["exception"][0]["exc_type"] == "LookupError"
    assert line["exception"][0]["exc_value"] == "gone"
    assert "only-a-local" not in text


def test_libraries_take_the_same_way_and_never_below_info() -> None:
    """What ccxt or asyncio say becomes one stable event; their DEBUG stays silent even when a logger was set to it by hand."""
    paper = Paper("debug")
    logging.getLogger("ccxt.binance").setLevel(logging.DEBUG)
    logging.getLogger("ccxt.binance").debug("headers {'X-MBX-APIKEY': ...}")
    logging.getLogger("asyncio").debug("using selector")
    logging.getLogger("asyncio").critical("loop is %s", "closed")
    logging.getLogger("aiohttp.server").error("bad %s")
    logging.getLogger("ccxt.binance").setLevel(logging.NOTSET)
    assert [(line["level"], line["event"], line["logger"], line["message"]) for line in paper.lines()] == [
        ("error", "library.message", "asyncio", "loop is closed"),
        ("error", "library.message", "aiohttp.server", "bad %s"),
    ]


def test_repeated_complaints_are_counted_instead_of_written() -> None:
    """Of one complaint about one thing five lines pass, then one a minute, which says how many were held back."""
    paper = Paper()
    for _ in range(180):
        paper.log.warning("stream.stale", symbol="BTC/USDT")
        paper.clock.moment += timedelta(seconds=1)
    paper.log.warning("stream.stale", symbol="ETH/USDT")
    lines = paper.lines()
    assert [line.get("suppressed") for line in lines] == [None] * 5 + [55, 59, 59]
    assert sum(line.get("suppressed", 0) for line in lines) + len(lines) == 181


def test_an_outage_of_a_day_stays_small() -> None:
    """500 symbols and three more complaints every ten seconds for 24 hours make less than 10 MB (E13)."""
    limiter = logs.Limiter()
    passed = 0
    for tick in range(0, 86_400, 600):
        now = NOON + timedelta(seconds=tick)
        passed += sum(limiter.admit("stream.stale", f"S{i}/USDT", now) is not None for i in range(500))
        for second in range(0, 600, 10):
            events = ("account.poll_failed", "library.message", "venue.unreachable")
            passed += sum(limiter.admit(event, "", now + timedelta(seconds=second)) is not None for event in events)
    assert passed * 300 < 10_000_000


def test_what_was_held_back_is_told_at_the_end() -> None:
    """Lines that no later one accounts for are accounted for at shutdown."""
    paper = Paper()
    for _ in range(9):
        paper.log.warning("stream.stale", symbol="BTC/USDT")
    last = paper.lines()[-1]
    assert (last["event"], last["of"], last["suppressed"]) == ("log.suppressed", "stream.stale", 4)


def test_what_was_held_back_is_told_while_the_daemon_runs() -> None:
    """Complaints that end while some are held back are accounted for after two minutes, beside whatever is said then."""
    paper = Paper()
    for _ in range(9):
        paper.log.warning("stream.stale", symbol="BTC/USDT")
    for seconds in (60, 60, 60):
        paper.clock.moment += timedelta(seconds=seconds)
        paper.log.info("slice.closed")
    told = [(line["event"], line.get("of"), line.get("suppressed")) for line in paper.lines()[5:]]
    assert told == [("slice.closed", None, None), ("log.suppressed", "stream.stale", 4), *[("slice.closed", None, None)] * 2]


@pytest.mark.parametrize("event", ["order.filled", "wave.settled", "trading.halted", "targets.chosen", "plan.made", "slice.closed"])
def test_facts_of_trading_are_never_held_back(event: str) -> None:
    """However fast they come, every one is written."""
    paper = Paper()
    for _ in range(300):
        paper.log.warning(event, symbol="BTC/USDT")
    assert len(paper.lines()) == 300


def test_a_clock_that_steps_back_neither_stalls_nor_floods() -> None:
    """After a step back the limit goes on at its pace from there."""
    limiter = logs.Limiter()
    assert [limiter.admit("e.x", "k", NOON) for _ in range(6)] == [0] * 5 + [None]
    assert limiter.admit("e.x", "k", NOON - timedelta(hours=1)) is None
    assert limiter.admit("e.x", "k", NOON - timedelta(hours=1) + timedelta(seconds=61)) == 2


def test_a_pipe_that_nobody_reads_blocks_nobody() -> None:
    """With the pipe full, logging returns at once; the loss is one line once it flows again (E14)."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as writer:
        logs.configure("info", "json", "demo", (), writer, Clock())
        started = time.monotonic()
        for number in range(logs.QUEUE_MAX + 2000):
            logs.write("info", "order.filled", {"number": number, "padding": "x" * 100})
        assert time.monotonic() - started < 5
        before = time.monotonic()
        logs.shutdown(timeout_s=0.1)
        assert time.monotonic() - before < 2
        got = b""
        while b"log.dropped" not in got:
            got += reader.read(1 << 16)
    dropped = next(json.loads(line) for line in got.splitlines() if b"log.dropped" in line)
    assert dropped["level"] == "warning"
    assert 0 < dropped["lines"] <= 2000


def test_a_reader_that_left_disturbs_nobody() -> None:
    """After `rebalanced demo | head` the log goes nowhere, quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as writer:
        logs.configure("info", "json", "demo", (), writer, Clock())
        logs.write("info", "order.filled", {})
        logs.shutdown()


def test_configuring_again_replaces_the_set_up() -> None:
    """The second set-up writes each line once, to its own stream."""
    first, second = Paper(), Paper()
    logging.getLogger("asyncio").warning("slow")
    assert len(second.lines()) == 1
    assert first.text() == ""


def test_console_lines_are_short_and_break_where_they_would_be_long() -> None:
    """A person sees time, event and facts; nested facts become rows; ids stay in the json."""
    paper = Paper(style="console")
    paper.log.info("order.filled", symbol="BTC/USDT", amount=Decimal("0.5"), order_id="r1-abc")
    signals = {"momo": {f"S{i}/USDT": {"score": 0.123456, "rsi": 55.0} for i in range(40)}}
    paper.log.info("targets.chosen", targets={"BTC/USDT": 0.25}, keep=[], signals=signals)
    paper.log.warning("order.unknown", text="a\x1b[2Jb\nc", order_id="r1-abc")
    text = paper.text().splitlines()
    assert text[0] == "12:00:00 order.filled         symbol=BTC/USDT  amount=0.5"
    assert text[1].startswith("12:00:00 targets.chosen")
    assert text[2].strip() == "targets: BTC/USDT 0.25"
    assert text[3].strip() == "signals momo S0/USDT: score 0.12346  rsi 55"
    assert text[-2].strip() == "... 17 more"
    assert text[-1].endswith("text=a [2Jb c  order_id=r1-abc")


def test_console_shows_exceptions_without_their_frames_of_locals() -> None:
    """Type, text and the innermost places."""
    paper = Paper(style="console")
    try:
        raise LookupError("gone")
    except LookupError:
        paper.log.exception("api.failed", path="/x")
    text = paper.text()
    assert "LookupError: gone" in text
    assert "test_logs.py" in text
