"""Warm-up: the closed history that indicators need, read by REST before the streams start.

Rule: it waits for a venue that is away and gives up on none; what comes back is closed, in order, and without repeats.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

from daemon.core.model import Bar
from daemon.core.vigil import Backoff
from daemon.io.clock import Clock
from daemon.io.exchange import Market, NotSent, Reason, Refused, Unknown

# REST calls under way at once; the rate gate behind the market spaces them as the venue's limits ask. A thousand bars take some 20 ms to
# parse, and answers that come together are parsed together: four of them keep the loop's other work waiting for less than 0.1 s.
WORKERS: Final = 4
# Refusals that waiting ends.
PASSING: Final = frozenset({Reason.RATE_LIMITED, Reason.MAINTENANCE})

Together = Callable[..., Coroutine[None, None, None]]
"""Runs the coroutines it is given side by side and ends when all have, or when one raises (the nest's; tasks are born in app.py)."""


async def warm_up(
    market: Market,
    symbols: Sequence[str],
    timeframe: timedelta,
    bars_needed: int,
    clock: Clock,
    progress: Callable[[int, int], None],
    *,
    together: Together,
    rng: Random,
) -> dict[str, list[Bar]]:
    """The newest `bars_needed` bars of each symbol that had closed when this began, oldest first; fewer where the venue has fewer.

    However long it takes to ask for all of them, every history ends at the same time, since the streams go on from there: counted from its
    own question, that of a symbol asked late would begin too late. `progress` is told (symbols done, symbols in all). A venue that is away
    is asked again, calmly, for ever.

    Raises:
        Refused, NotFound, Fatal: the venue answers, and will not give a symbol's bars.
    """
    waiting = deque(symbols)
    history: dict[str, list[Bar]] = {symbol: [] for symbol in symbols}
    backoff = Backoff(rng, first_s=0.5, spacing_s=0.0)
    done = 0
    began = clock.now()

    async def work() -> None:
        nonlocal done
        while waiting:
            symbol = waiting.popleft()
            history[symbol] = await _history(market, symbol, timeframe, bars_needed, began, clock, backoff)
            done += 1
            progress(done, len(symbols))

    if bars_needed > 0:
        await together(*(work() for _ in range(min(WORKERS, len(symbols)))))
    return history


async def _history(
    market: Market, symbol: str, timeframe: timedelta, bars_needed: int, until: datetime, clock: Clock, backoff: Backoff
) -> list[Bar]:
    more = 0
    while True:
        while (wait_s := backoff.wait_s(clock.monotonic())) > 0:
            await clock.sleep(wait_s)
        began_at = clock.monotonic()
        # The last one may be forming, and one more may have closed in a part of a bar.
        asked = bars_needed + (clock.now() - until) // timeframe + 2 + more
        try:
            updates = await market.bars(symbol, timeframe, limit=asked)
        except (NotSent, Unknown, Refused) as error:
            if isinstance(error, Refused) and error.reason not in PASSING:
                raise
            backoff.failed(began_at, clock.monotonic(), error.retry_after_s or 0.0)
            continue
        backoff.recovered()
        by_close = {update.bar.closes_at: update.bar for update in updates if update.closed and update.bar.closes_at <= until}
        short = bars_needed - len(by_close)
        if short <= 0 or len(updates) < asked:
            return [by_close[close] for close in sorted(by_close)][-bars_needed:]
        more += 2 * short  # bars have closed on the way to the venue
