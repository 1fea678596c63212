"""Staff: strategies at their desks, fed with the same slices, each failing alone.

Rule: a strategy of the user's own that fails is disabled, with the reason, and takes no other down. Whoever stays when others come or go
is not disturbed: his indicators, his targets and what he remembers are as they were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from daemon.core.desk import Desk, Guard, reason, unguarded
from daemon.core.model import Bools, Decision, Floats, Slice, TargetWeights
from daemon.core.plain import rfc3339
from daemon.core.schedule import Schedule
from daemon.core.strategy import Columns, Strategy


@dataclass(frozen=True, slots=True)
class Sleeve:
    """A strategy with its name, its `share` of the capital (above 0, at most 1) and its due times.

    `strategy` is None where it runs in a process of its own: it is asked by `AskStrategy`. `own`: it is the user's own, called through
    `guard`, and disabled once it has failed, here as in a process; `problem`: it could not even be loaded, for this reason.
    """

    name: str
    strategy: Strategy | None
    share: float
    schedule: Schedule
    own: bool = False
    guard: Guard = unguarded
    problem: str = ""

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0 < self.share <= 1:
            raise ValueError(f"{self.name}: share must be above 0 and at most 1, not {self.share}")


class LoopDesk(Desk):
    """A sleeve at work in the loop."""

    def __init__(self, sleeve: Sleeve, strategy: Strategy, width: int) -> None:
        """Take its indicators; raises as a Desk does."""
        super().__init__(strategy, width, sleeve.guard)
        self.sleeve = sleeve


class AwayDesk:
    """A sleeve at work in a process of its own, or nowhere: what the loop knows of it."""

    def __init__(self, sleeve: Sleeve, width: int) -> None:
        self.sleeve = sleeve
        self.targets: TargetWeights | None = None
        self.need = 1
        self.warm_columns: Bools = np.zeros(width, np.bool_)
        self.short: Bools = np.zeros(width, np.bool_)  # its process says so itself

    def renew(self) -> None:
        """Nothing: the process is told, and fed with the same slices."""

    def warm(self, panels: Floats) -> None:
        """Likewise."""

    def step(self, panel: Floats) -> None:
        """Likewise."""


class Staff:
    """`desks` in the order of the configuration; `disabled` says by name why one is asked no more."""

    def __init__(self, sleeves: Sequence[Sleeve], symbols: Sequence[str]) -> None:
        self.disabled: dict[str, str] = {}
        self._symbols = tuple(symbols)
        self.desks = [self._desk(sleeve) for sleeve in sleeves]

    def _desk(self, sleeve: Sleeve) -> LoopDesk | AwayDesk:
        width = len(self._symbols)
        if sleeve.problem:
            self.disabled[sleeve.name] = sleeve.problem
        elif sleeve.strategy is not None:
            try:
                return LoopDesk(sleeve, sleeve.strategy, width)
            except Exception as error:
                self.disable(sleeve, "", error)
        return AwayDesk(sleeve, width)

    def disable(self, sleeve: Sleeve, when: str, error: Exception) -> None:
        """Have a strategy of the user's own stand at its last targets. One that ships has no such failures: they would be ours."""
        if not sleeve.own:
            raise error
        self.disabled[sleeve.name] = when + reason(error)

    @property
    def able(self) -> list[LoopDesk | AwayDesk]:
        """The desks that may be asked: a strategy that is disabled is not."""
        return [desk for desk in self.desks if desk.sleeve.name not in self.disabled] if self.disabled else self.desks

    def foresee(self, panels: Floats) -> dict[str, Columns] | None:
        """Have every strategy that ships with the daemon work its indicators out at slices to come, as a Desk does.

        Returns their numbers at them by name, as of `Strategy.columns`; None where somebody tells them slice by slice only.
        """
        ours = [desk for desk in self.able if isinstance(desk, LoopDesk) and not desk.sleeve.own]
        told = {desk.sleeve.name: desk.foresee(panels) for desk in ours}
        known = {name: columns for name, columns in told.items() if columns is not None}
        return known if len(known) == len(self.desks) else None

    @property
    def breadth(self) -> int:
        """How many numbers they work out at one slice."""
        return sum(desk.breadth for desk in self.desks if isinstance(desk, LoopDesk))

    def skip(self, count: int) -> None:
        """So many slices have passed that were foreseen by all."""
        for desk in self.desks:
            if isinstance(desk, LoopDesk):
                desk.skip(count)

    @property
    def away(self) -> Mapping[str, AwayDesk]:
        """By name, those whose strategy runs in a process of its own, or nowhere."""
        return {desk.sleeve.name: desk for desk in self.desks if isinstance(desk, AwayDesk)}

    def started(self, name: str, need: int) -> None:
        """Learn how many bars of history one needs that runs in a process of its own."""
        self.away[name].need = need

    # --- history -----------------------------------------------------------------------------------------------------

    @property
    def need(self) -> int:
        """Bars of history that warm every indicator so far that the rest makes no difference."""
        return max((desk.need for desk in self.desks), default=1)

    @property
    def short(self) -> frozenset[str]:
        """Symbols whose history was too short for what was in it: a longer one, if there is one, may give other values."""
        columns = np.any([desk.short for desk in self.desks], axis=0)
        return frozenset(self._symbols[column] for column in np.flatnonzero(columns).tolist())

    def renew(self) -> None:
        """Forget the history, to be fed a longer one."""
        for desk in self.desks:
            desk.renew()

    def warm(self, slices: Sequence[Slice]) -> None:
        """Feed a history through the indicators, in order. May be called again with what follows."""
        if not slices:
            return
        panels = np.stack([cross_section.panel for cross_section in slices])
        for desk in self.able:
            try:
                desk.warm(panels)
            except Exception as error:
                self.disable(desk.sleeve, "its history could not be read: ", error)

    def step(self, closed: Slice) -> None:
        """Feed one more slice."""
        for desk in self.able:
            try:
                desk.step(closed.panel)
            except Exception as error:
                self.disable(desk.sleeve, f"an indicator failed at {rfc3339(closed.closes_at)}: ", error)

    @property
    def warm_columns(self) -> Bools:
        """Where one of them at least has history enough to decide, or may have: bool (symbols,)."""
        unknown = np.ones(len(self._symbols), np.bool_)  # a process tells with its answer
        columns: Bools = np.any([unknown if isinstance(desk, AwayDesk) else desk.warm_columns for desk in self.desks], axis=0)
        return columns

    @property
    def warm_somewhere(self) -> Bools:
        """Where one of them at least is known to have history enough: bool (symbols,)."""
        columns = self.desks[0].warm_columns if self.desks else np.zeros(len(self._symbols), np.bool_)
        for desk in self.desks[1:]:
            columns = columns | desk.warm_columns
        return columns

    # --- who comes and who goes --------------------------------------------------------------------------------------

    def recall(self, last: Decision) -> None:
        """Have everybody stand by what he wanted at that decision, as far as its symbols are traded still."""
        known = set(self._symbols)
        for desk in self.desks:
            targets = last.by_strategy.get(desk.sleeve.name)
            if targets is not None:
                weights = {symbol: weight for symbol, weight in targets.weights.items() if symbol in known}
                desk.targets = replace(targets, weights=weights)

    def confine(self, outside: frozenset[str]) -> None:
        """Have nobody want these symbols any more."""
        for desk in self.desks:
            if desk.targets is not None and not outside.isdisjoint(desk.targets.weights):
                inside = {symbol: weight for symbol, weight in desk.targets.weights.items() if symbol not in outside}
                desk.targets = replace(desk.targets, weights=inside)

    def change(self, sleeves: Sequence[Sleeve], newcomers: "Staff") -> None:
        """Have these at work from here on: the newcomers at desks of their own, everybody else at his, with his share and due times.

        Whoever is neither among `sleeves` nor a newcomer, or has a newcomer of his name in his place, is gone.
        """
        here = {desk.sleeve.name: desk for desk in self.desks}
        new = {desk.sleeve.name: desk for desk in newcomers.desks}
        for gone in (here.keys() - {sleeve.name for sleeve in sleeves}) | new.keys():
            self.disabled.pop(gone, None)
        self.disabled.update(newcomers.disabled)
        self.desks = [new[sleeve.name] if sleeve.name in new else _stays(here[sleeve.name], sleeve) for sleeve in sleeves]


def _stays(desk: LoopDesk | AwayDesk, sleeve: Sleeve) -> LoopDesk | AwayDesk:
    desk.sleeve = replace(desk.sleeve, share=sleeve.share, schedule=sleeve.schedule)
    return desk
