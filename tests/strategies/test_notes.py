"""What a strategy says beside its weights: it reaches the log and the journal, and comes back to it."""

from datetime import UTC, datetime

import numpy as np

from daemon.core import events as e
from daemon.core.desk import Desk
from daemon.core.model import Decision, TargetWeights
from daemon.core.strategy import Universe
from daemon.io.journal.codec import decision_from_json, decision_to_json
from daemon.telling.narrator import narrate
from strategies.pairs import Pairs, PairsParams
from tests.strategies.bench import HOUR, SYNTHETIC_MAX, slices, walks

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
TARGETS = TargetWeights(
    {"A/USDT": 0.1}, signals={"*": {"state": 1.0, "entered": 1.7e12}}, note="the optimiser failed, the last weights stay"
)
DECISION = Decision("d1", AT, {"A/USDT": 0.1}, frozenset(), {"it": TARGETS}, AT)


def test_a_note_is_a_warning() -> None:
    """A decision that is not what it should be is said in a line of its own, beside that of the decision."""
    lines = narrate(e.TargetsChosen(DECISION, AT))
    assert [(line.level, line.name) for line in lines] == [("warning", "strategy.hindered"), ("info", "targets.chosen")]
    assert lines[0].fields["note"] == TARGETS.note


def test_notes_and_signals_survive_the_journal() -> None:
    """What was told is read back as it was, to the last bit."""
    back = decision_from_json("d1", AT, decision_to_json(DECISION), AT)
    assert back.by_strategy["it"] == TARGETS


def test_a_desk_shows_the_last_signals() -> None:
    """The numbers of the last decision are in the next view."""
    desk = Desk(Pairs(PairsParams(pair=("A/USDT", "B/USDT")), Universe(("A/USDT", "B/USDT"), HOUR, market="swap")), 2)
    desk.targets = TARGETS
    prices = np.nan_to_num(walks(1, times=3, symbols=2), nan=1.0)
    for cross_section in slices(("A/USDT", "B/USDT"), prices):
        desk.step(cross_section.panel)
        assert desk.decide(cross_section, SYNTHETIC_MAX).signals["*"]["state"] == 1.0
