"""The account: what is free, what is locked, and what was moved in and out.

Rule: every change is exact Decimal arithmetic and leaves no balance below zero; whoever would do so is refused before anything changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from daemon.venue.errors import rejected
from daemon.venue.money import ZERO


@dataclass(frozen=True, slots=True)
class Transfer:
    """A deposit (positive) or a withdrawal (negative), in units of the asset."""

    asset: str
    amount: Decimal
    at: int  # UTC ms


@dataclass(slots=True)
class Balance:
    """One asset's money."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


class Account:
    """The venue's one account."""

    def __init__(self, initial: Mapping[str, Decimal], at: int) -> None:
        self.initial = dict(initial)
        self.balances = {asset: Balance(amount) for asset, amount in initial.items()}
        self.transfers: list[Transfer] = []
        self.updated = at  # UTC ms

    def forget(self, at: int) -> None:
        """Hold again what it began with, as if nothing had ever moved."""
        self.balances = {asset: Balance(amount) for asset, amount in self.initial.items()}
        self.transfers.clear()
        self.updated = at

    def of(self, asset: str) -> Balance:
        """The balance of an asset, zero if it was never held."""
        return self.balances.setdefault(asset, Balance())

    def require(self, asset: str, amount: Decimal) -> None:
        """Refuse unless so much is free."""
        if self.of(asset).free < amount:
            raise rejected("Account has insufficient balance for requested action.")

    def lock(self, asset: str, amount: Decimal) -> None:
        """Set free money aside for an order."""
        self.require(asset, amount)
        balance = self.of(asset)
        balance.free -= amount
        balance.locked += amount

    def unlock(self, asset: str, amount: Decimal) -> None:
        """Give an order's money back."""
        balance = self.of(asset)
        balance.locked -= amount
        balance.free += amount

    def credit(self, asset: str, amount: Decimal) -> None:
        """Add to (or take from) what is free, as a trade does."""
        self.of(asset).free += amount

    def transfer(self, asset: str, amount: Decimal, at: int) -> Transfer:
        """Move money in (positive) or out (negative)."""
        if amount < 0:
            self.require(asset, -amount)
        self.credit(asset, amount)
        booked = Transfer(asset, amount, at)
        self.transfers.append(booked)
        self.updated = at
        return booked
