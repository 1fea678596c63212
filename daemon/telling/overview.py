"""Overview: all accounts of an instance as one portfolio, in its one numeraire (`universe.quote`), as the API shows it.

Rule: it only adds up what each account shows. What an account cannot know is null there and missing in no sum silently: `unknown` names it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from daemon.core.states import Level
from daemon.core.trading import Trading
from daemon.io.api import NotThere, Views
from daemon.telling.views import DaemonViews

Row = Mapping[str, object]

# Which word stands for all accounts: that of the one which may do least.
SEVERITY: Final = (Trading.STOPPING, Level.HALTED.told, Level.FLATTENING.told, Level.PAUSED.told, Trading.STARTING, Level.REDUCING.told)
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def overview(identity: Mapping[str, str], accounts: Mapping[str, DaemonViews]) -> Views:
    """What the API shows; of a single account that account's own."""
    only = accounts.get("")
    return only if only is not None else Overview(identity, accounts)


class Overview:
    """The accounts by name."""

    def __init__(self, identity: Mapping[str, str], accounts: Mapping[str, DaemonViews]) -> None:
        self._identity = identity
        self._accounts = accounts

    def status(self) -> Row:
        """One mapping: the sums, and below `accounts` each with its own status."""
        told = [{"account": name, **views.status(), **_worth(views.worth())} for name, views in self._accounts.items()]
        worst = min(told, key=_severity)
        return {
            **self._identity,
            "state": worst["state"],
            "reason": "; ".join(f"{each['account']}: {each['reason']}" for each in told if each["reason"]),
            "holds": _all(told, "holds"),
            "quote": told[0]["quote"],
            "equity": _sum(each["worth"] for each in told),
            "equity_at": _oldest(each["worth_at"] for each in told),
            "cash": _sum(each["cash"] for each in told),
            "positions": _sum(each["positions"] for each in told),
            "gross": _of_all(told, "gross"),
            "net": _of_all(told, "net"),
            "drawdown": _largest(each["drawdown"] for each in told),
            "open_orders": _sum(each["open_orders"] for each in told),
            "unknown_orders": _sum(each["unknown_orders"] for each in told),
            "last_slice": _oldest(each["last_slice"] for each in told),
            "last_decision": _newest(each["last_decision"] for each in told),
            "last_reconcile": _oldest(each["last_reconcile"] for each in told),
            "drift": _largest(each["drift"] for each in told),
            "unknown": [each["account"] for each in told if each["worth"] is None],
            "uptime_s": told[0]["uptime_s"],
            "version": told[0]["version"],
            "disabled": {name: why for each in told for name, why in _items(each["disabled"])},
            "strategies": _all(told, "strategies"),
            "accounts": told,
        }

    def ready(self) -> tuple[bool, Sequence[str]]:
        """Whether trading may go on everywhere, and each check that fails, with whose it is."""
        failing = [f"{name}: {text}" for name, views in self._accounts.items() for text in views.ready()[1]]
        return not failing, failing

    def positions(self) -> Sequence[Row]:
        """Every account's rows; weights and targets are shares of that account."""
        return [row for views in self._accounts.values() for row in views.positions()]

    def targets(self) -> Sequence[Row]:
        """Likewise."""
        return [{**row, "account": name} for name, views in self._accounts.items() for row in views.targets()]

    async def orders(self, limit: int) -> Sequence[Row]:
        """The newest of all accounts."""
        return _latest([(name, await views.orders(limit)) for name, views in self._accounts.items()], limit)

    async def fills(self, limit: int) -> Sequence[Row]:
        """Likewise."""
        return _latest([(name, await views.fills(limit)) for name, views in self._accounts.items()], limit)

    async def equity(self, since: datetime, limit: int) -> Sequence[Row]:
        """Every account's own history, the newest of all first: their moments need not be the same."""
        return _latest([(name, await views.equity(since, limit)) for name, views in self._accounts.items()], limit * len(self._accounts))

    async def decisions(self, limit: int) -> Sequence[Row]:
        """The newest of all accounts."""
        return _latest([(name, await views.decisions(limit)) for name, views in self._accounts.items()], limit, "as_of")

    def analysis(self) -> Row:
        """Each account's own: what moves together is measured where it is traded."""
        return {"accounts": {name: views.analysis() for name, views in self._accounts.items()}}

    async def why(self, symbol: str, decision_id: str | None, account: str = "") -> Row:
        """The story on the account that is named, or on the only one that trades the symbol.

        Raises:
            NotThere: no account trades it, several do and none is named, or there has been no such decision.
        """
        if account and account not in self._accounts:
            raise NotThere(f"there is no account {account}; there are {', '.join(self._accounts)}")
        meant = [account] if account else [name for name, views in self._accounts.items() if views.trades(symbol)]
        if not meant:
            raise NotThere(f"{symbol} is traded on no account")
        if len(meant) > 1:
            raise NotThere(f"{symbol} is traded on {', '.join(meant)}; name one of these accounts")
        return {"account": meant[0], **await self._accounts[meant[0]].why(symbol, decision_id)}


def _worth(known: tuple[Decimal, datetime] | None) -> Row:
    """What an account was worth when that was last known, and when that was."""
    return {"worth": None, "worth_at": None} if known is None else {"worth": known[0], "worth_at": known[1]}


def _severity(status: Row) -> int:
    state = str(status["state"])
    return SEVERITY.index(state) if state in SEVERITY else len(SEVERITY)


def _known(values: Iterable[object]) -> list[Any]:
    return [value for value in values if value is not None]


def _sum(values: Iterable[object]) -> Any:
    """Of what is known; None where nothing is."""
    known = _known(values)
    return sum(known, start=type(known[0])(0)) if known else None


def _of_all(told: Sequence[Row], key: str) -> float | None:
    """A share of an account's equity as a share of that of all accounts whose is known."""
    known: list[tuple[Any, Any]] = [(each[key], each["equity"]) for each in told if each[key] is not None and each["equity"]]
    whole = float(sum(equity for _, equity in known))
    return sum(share * float(equity) for share, equity in known) / whole if whole > 0 else None


def _largest(values: Iterable[object]) -> object:
    return max(_known(values), default=None)


def _newest(values: Iterable[object]) -> object:
    return max(_known(values), default=None)


def _oldest(values: Iterable[object]) -> object:
    """The least recent; None where one has none."""
    found = list(values)
    return None if None in found else min(_known(found))


def _items(value: object) -> Iterable[tuple[str, object]]:
    return value.items() if isinstance(value, Mapping) else ()


def _all(told: Sequence[Row], key: str) -> list[Row]:
    """The rows of every account, each with whose it is."""
    return [{"account": each["account"], **row} for each in told for row in _rows(each[key])]


def _rows(value: object) -> Sequence[Row]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _latest(told: Sequence[tuple[str, Sequence[Row]]], limit: int, by: str = "at") -> Sequence[Row]:
    rows: list[dict[str, Any]] = [{**row, "account": name} for name, each in told for row in each]
    return sorted(rows, key=lambda row: row[by] or LONG_AGO, reverse=True)[:limit]
