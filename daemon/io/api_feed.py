"""Feed: the newest lines of the log, numbered, for whoever follows the daemon live.

Rule: nobody who follows can cost the daemon anything but the bytes of an answer. Lines stand in one ring; a reader has a number in it, and
one who comes too late is told how many lines there were. Numbers grow over restarts too, so that a reader may go on where it was.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from daemon.core.plain import Plain
from daemon.io.clock import Clock

# A wave over 500 symbols is some 2,000 lines; each is some 400 bytes, in the ring and as text.
KEPT: Final = 4096
# Numbers begin at the milliseconds of the start times this: a daemon says fewer lines than that a millisecond, and the numbers stay exact
# in a JavaScript client (below 2^53).
A_MILLISECOND: Final = 100


@dataclass(slots=True)
class Entry:
    """A line with its number; its text is made when somebody reads it first."""

    number: int
    line: dict[str, Plain]
    _text: str = field(default="")

    @property
    def text(self) -> str:
        """The line as JSON, without a line break."""
        if not self._text:
            self._text = json.dumps(self.line, allow_nan=False, separators=(",", ":"))
        return self._text


@dataclass(frozen=True, slots=True)
class News:
    """What came after a number: `missed` lines that are not kept any more, then `entries`; `last`: the number to ask with next.

    `anew`: the number is of another life of the daemon, so that nobody knows how much came in between.
    """

    missed: int
    entries: tuple[Entry, ...]
    last: int
    anew: bool = False


class Feed:
    """An ear of the log. `since` and `more` are for the loop; lines may come from any thread."""

    def __init__(self, clock: Clock, kept: int = KEPT) -> None:
        self._first = self._next = int(clock.now().timestamp() * 1000) * A_MILLISECOND
        self._ring: deque[Entry] = deque(maxlen=kept)
        self._lock = threading.Lock()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._home = 0
        self.closed = False

    @property
    def newest(self) -> int:
        """The number after which nothing has come yet."""
        return self._next - 1

    @property
    def oldest(self) -> int:
        """The number of the oldest line that is kept, or of the first to come."""
        return self._next - len(self._ring)

    def wants(self, level: str, _event: str) -> bool:
        """Everything that is written without asking for more."""
        return level != "debug"

    def hear(self, line: Mapping[str, Plain]) -> None:
        """Keep a line, and wake who waits for one."""
        with self._lock:
            self._ring.append(Entry(self._next, dict(line)))
            self._next += 1
        self._wake()

    def since(self, number: int, most: int = 50) -> News:
        """The oldest lines after this number, `most` of them."""
        with self._lock:
            anew = not self._first - 1 <= number <= self.newest
            number = self._first - 1 if anew else number
            begin, oldest = max(number + 1, self.oldest), self.oldest
            entries = tuple(islice(self._ring, begin - oldest, begin - oldest + most))
        return News(begin - number - 1, entries, begin - 1 + len(entries), anew)

    async def more(self, number: int, within_s: float) -> bool:
        """Wait until there is something after this number, for so long at most; False: there is nothing, or there will be nothing."""
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        while self._next - 1 <= number and not self.closed:
            try:
                async with asyncio.timeout(within_s):
                    await self._news.wait()
            except TimeoutError:
                return False
            self._news.clear()
        return not self.closed

    def close(self) -> None:
        """Let everybody who waits go; nothing is heard after this."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is None:
            return
        if threading.get_ident() == self._home:
            self._news.set()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._news.set)
