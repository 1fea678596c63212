"""Journal: the durable record of what was decided, sent, seen and booked, in one SQLite file per instance.

Rule: what `commit` has acknowledged is on disk, in order, and comes back exactly or not at all; damage is refused, never read around.
Facts about money are only ever added, each row under its own checksum; the state of an order is the fold of its events.
"""

from daemon.io.journal.errors import JournalConflict, JournalDamaged, JournalError, JournalFailed, JournalLocked
from daemon.io.journal.facts import Command, Fact, OrderFact, PlanRecord, Put, Warmed
from daemon.io.journal.inspection import back_up, verify
from daemon.io.journal.journal import Journal
from daemon.io.journal.reader import DecisionStory, OrderRecord, OrderStory, Recovered, ask, read
from daemon.io.journal.tables import TABLES, Tables, each_table
from daemon.io.journal.tape import Taped

__all__ = [
    "TABLES",
    "Command",
    "DecisionStory",
    "Fact",
    "Journal",
    "JournalConflict",
    "JournalDamaged",
    "JournalError",
    "JournalFailed",
    "JournalLocked",
    "OrderFact",
    "OrderRecord",
    "OrderStory",
    "PlanRecord",
    "Put",
    "Recovered",
    "Tables",
    "Taped",
    "Warmed",
    "ask",
    "back_up",
    "each_table",
    "read",
    "verify",
]
