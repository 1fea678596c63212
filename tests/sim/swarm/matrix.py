"""Matrix: which states of an order meet which faults, and which meetings a thousand stories must have had.

Rule: a meeting is demanded unless there is a reason here why it cannot come, or passes before anybody could look.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from daemon.core.ordertable import State
from tests.sim.swarm.faults import OF_SWAPS, UNSCHEDULED, Kind

Matrix = Counter[tuple[str, str]]

SEEDS_MIN: Final = 1000  # fewer stories have not met everything by chance

# An order that has ended is in the table only until its last trade is told, one that is denied or rejected not at all.
LASTING: Final = (State.NEW, State.SENT, State.UNKNOWN, State.ACKED, State.PARTIAL, State.CANCEL_SENT)

# No plan is made while prices are old, the venue asks for silence or the journal has failed: no order begins its life then.
PLANLESS: Final = frozenset({Kind.AWAY, Kind.UNREACHED, Kind.BANNED, Kind.LIMITED, Kind.DISK_FULL})
# What is waited for when a silence begins is hardly ever partly filled: it is over within the minute that silences last at most.
RARE: Final = frozenset({Kind.BANNED, Kind.LIMITED})
# A journal that has failed ends the process within a moment, and leaves its orders to the next one in doubt.
ENDING: Final = frozenset({Kind.DISK_FULL})
LEFT_OUT: Final = {State.NEW: PLANLESS, State.SENT: ENDING, State.PARTIAL: RARE, State.CANCEL_SENT: RARE}


# What cannot come where stories are told of one market alone.
ELSEWHERE: Final[Mapping[str, Collection[Kind]]] = {"spot": OF_SWAPS, "swap": (Kind.COINS,)}


def empty(matrix: Matrix, market: str = "") -> Iterator[str]:
    """The meetings that are demanded and were not had; `market`: where only stories of "spot" or of "swap" were told."""
    for state in LASTING:
        for kind in [kind for kind in Kind if kind not in (*UNSCHEDULED, *ELSEWHERE.get(market, ()))]:
            if kind not in LEFT_OUT.get(state, ()) and not matrix[(state.value, kind.value)]:
                yield f"no order has been {state.value} while there was {kind.value}"


def table(matrix: Matrix) -> str:
    """Order states against faults, with how often each met the other."""
    states = sorted({state for state, _ in matrix})
    rows = [f"{'':22}" + "".join(f"{state:>12}" for state in states)]
    rows += [f"{kind.value:22}" + "".join(f"{matrix[(state, kind.value)]:>12}" for state in states) for kind in Kind]
    return "\n".join(rows)
