"""The section universe.select: which of the configured symbols are traded, by what is traded of them.

Rule: it becomes a plain rule of the core here, with every length as a length of time.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from daemon.config.kinds import Symbol
from daemon.config.section import Section
from daemon.config.times import bars_or_duration, length
from daemon.config.values import between, duration, whole
from daemon.core.membership import Selection

TOP_MAX = 1000  # as many as there may be symbols


class SelectConfig(Section):
    """Of the symbols, those that are traded most; gone over on a schedule."""

    top: Annotated[int, *whole(between("1", str(TOP_MAX)))] = Field(
        description="So many symbols, by what was traded of them.", examples=["10"]
    )
    margin: Annotated[int, *whole(between("0", str(TOP_MAX)))] = Field(
        default=2, description="A symbol that is in stays in down to rank top + margin, so that two of like volume do not take turns."
    )
    window: Annotated[int | timedelta, *bars_or_duration(1)] = Field(
        default=168, description="Over how long what is traded is summed up (volume x close): bars, or a length of time like 7d."
    )
    every: Annotated[int | timedelta, *bars_or_duration(1)] = Field(
        default=24, description="Bars between two looks, or a length of time like 24h; counted from 1970-01-01 UTC, as due times are."
    )
    min_age: Annotated[int | timedelta, *bars_or_duration(0)] = Field(
        default=0, description="A symbol is in once its first bar is so old: bars, or a length of time like 30d."
    )
    exclude: tuple[Symbol, ...] = Field(default=(), description="Symbols that are never in, whatever is traded of them.")
    always: tuple[Symbol, ...] = Field(default=(), description="Symbols that are always in while their market is open.")
    wind_down: Annotated[timedelta, *duration("0ms", "365d")] = Field(
        default=timedelta(0),
        description="What is held of a symbol that has left is sold by the next decision; after so long by one of its own. 0s: at once.",
    )

    def rule(self, bar_length: timedelta) -> Selection:
        """The rule, for bars of this length."""
        return Selection(
            top=self.top,
            margin=self.margin,
            window=length(self.window, bar_length),
            every=length(self.every, bar_length),
            age_min=length(self.min_age, bar_length),
            exclude=frozenset(self.exclude),
            always=frozenset(self.always),
            wind_down=self.wind_down,
        )
