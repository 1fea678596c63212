"""How long Prometheus holds up the loop when it reads the figures of an account that holds some of each of many symbols."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import cast

from daemon.core import events as e
from daemon.core.model import Decision, TargetWeights
from daemon.io.exchange import Exchange
from daemon.io.journal import Journal
from daemon.io.metrics import Metrics
from daemon.telling.gauges import Gauges, Seen
from tests.bench.planning import report
from tests.io.journal_facts import START
from tests.test_views import IDENTITY, World

BAR = timedelta(hours=1)
AIMS_MS = {500: 20.0, 2000: 50.0}


class Sound:
    """A journal that has not failed."""

    failed = None


def account_of(count: int) -> Metrics:
    """What there is to read of an account that holds, and wants, something of so many symbols."""
    names = tuple(f"C{n:04}/USDT" for n in range(count))
    world, held = World(cast("Journal", Sound()), names), {"USDT": "1000"} | {f"C{n:04}": str(1 + n % 7) for n in range(count)}
    world.load()
    world.open(**held)
    world.poll(**held)
    world.close_slice(*(1.0 + n % 11 for n in range(count)))
    weights = {name: (1 + n % 5) / (5 * count) for n, name in enumerate(names)}
    world.bus.publish(e.TargetsChosen(Decision("d1", START, weights, frozenset(), {"momo": TargetWeights(weights)}, START), START))
    metrics = Metrics([""], START)
    metrics.add(Gauges(IDENTITY, {"": Seen(world.views, cast("Exchange", object()), BAR)}))
    return metrics


def cases(symbols: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed, with its name."""
    yield "one scrape", account_of(symbols).text


def table() -> None:
    """Print how long it takes."""
    report("metrics", cases, AIMS_MS)
