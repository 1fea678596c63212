"""Breakers: what stops trading by itself, be it a loss, refusals, doubts about our own affairs, or what comes from outside."""

from daemon.core.breakers.board import Breakers as Breakers
from daemon.core.breakers.rules import Action as Action
from daemon.core.breakers.rules import Code as Code
from daemon.core.breakers.rules import DriftRule as DriftRule
from daemon.core.breakers.rules import PegRule as PegRule
from daemon.core.breakers.rules import RejectRule as RejectRule
from daemon.core.breakers.rules import Rule as Rule
from daemon.core.breakers.rules import Rules as Rules
from daemon.core.breakers.rules import SpikeRule as SpikeRule
from daemon.core.breakers.rules import StaleRule as StaleRule
