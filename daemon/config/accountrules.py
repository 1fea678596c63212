"""Rules of accounts: how many exchanges there are, what is traded on each, and by whom.

Rule: as in rules.py, they read the mapping of the file and pass over what is missing or of the wrong type.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from daemon.config.ownuse import is_own
from daemon.config.rules import REFERENCE, accounts_of
from daemon.config.tree import at
from daemon.config.values import Mistake, suggestion


def account_mistakes(tree: Any) -> Iterator[Mistake]:
    """Every rule about accounts that is broken."""
    for rule in RULES:
        yield from rule(tree)


def _listed(tree: Any, *loc: str) -> Sequence[Any]:
    found = at(tree, *loc)
    return found if isinstance(found, list | tuple) else ()


def one_or_several(tree: Any) -> Iterator[Mistake]:
    """Either an exchange, which is short for one account, or a list of them."""
    exchange, accounts = at(tree, "exchange"), _listed(tree, "accounts")
    if exchange is not None and accounts:
        yield Mistake(("exchange",), "stands beside accounts, and is short for one of them", "leave one of the two out")
    elif exchange is None and not accounts:
        yield Mistake(("exchange",), "is missing", "add it, for example {id: binance}, or accounts")


def accounts_have_names(tree: Any) -> Iterator[Mistake]:
    """Each name once: journals and commands go by it."""
    names = [at(account, "name") for account in _listed(tree, "accounts")]
    for index, name in enumerate(names):
        if isinstance(name, str) and name in names[:index]:
            yield Mistake(("accounts", index, "name"), f"is the same as accounts[{names.index(name)}].name", "give each its own name")


def accounts_have_keys(tree: Any) -> Iterator[Mistake]:
    """Sandbox, shadow and live sign their requests; two of one account would each take what the other trades for a stranger's."""
    mode, keys = at(tree, "mode"), list[Any]()
    for index, account in enumerate(_listed(tree, "accounts") if mode in ("sandbox", "shadow", "live") else ()):
        place = ("accounts", index, "credentials")
        for key in ("api_key", "secret"):
            if at(account, "credentials", key) is None:
                yield Mistake((*place, key), f"is missing, and mode {mode} needs it", f"add it as {REFERENCE}")
        who = [at(account, *loc) for loc in (("id",), ("market",), ("ccxt",), ("credentials", "api_key"))]
        if who[-1] is not None and who in keys:
            yield Mistake((*place, "api_key"), f"is that of accounts[{keys.index(who)}], at the same place", "give each a key of its own")
        keys.append(who)


def accounts_trade(tree: Any) -> Iterator[Mistake]:
    """Each symbol of an account is in the universe and of its market; each one of the universe is traded by somebody."""
    universe, everywhere = _listed(tree, "universe", "symbols"), set[Any]()
    for index, account in enumerate(accounts := _listed(tree, "accounts")):
        swap = at(account, "market") == "swap"
        symbols = at(account, "symbols")
        own = _listed(account, "symbols") if symbols is not None else [s for s in universe if isinstance(s, str) and (":" in s) == swap]
        everywhere |= {symbol for symbol in own if isinstance(symbol, str)}
        if symbols is None and universe and not own:
            yield Mistake(("accounts", index, "market"), "has no symbol in universe.symbols", "add one, or leave the account out")
        yield from _of_its_market(("accounts", index, "symbols"), own if symbols is not None else (), universe, swap=swap)
    for index, symbol in enumerate(universe if accounts else ()):
        if isinstance(symbol, str) and symbol not in everywhere:
            yield Mistake(("universe", "symbols", index), "is traded by no account", "add it to one, or leave it out")


def _of_its_market(place: tuple[str | int, ...], symbols: Sequence[Any], universe: Sequence[Any], *, swap: bool) -> Iterator[Mistake]:
    for index, symbol in enumerate(symbols):
        if not isinstance(symbol, str):
            continue
        if symbol in symbols[:index]:
            yield Mistake((*place, index), "stands there twice", "leave one of them out")
        elif symbol not in universe:
            yield Mistake((*place, index), "is not in universe.symbols", "add it there, or leave it out")
        elif (":" in symbol) != swap:
            yield Mistake((*place, index), f"is {'no' if swap else 'a'} swap, other than the account's market", "leave it out")


def swaps_are_linear(tree: Any) -> Iterator[Mistake]:
    """A swap of a universe with several accounts settles in what it is quoted in, like that of a single exchange."""
    for index, symbol in enumerate(_listed(tree, "universe", "symbols") if _listed(tree, "accounts") else ()):
        pair, mark, settle = symbol.partition(":") if isinstance(symbol, str) else ("", "", "")
        if mark and settle != pair.partition("/")[2]:
            yield Mistake(("universe", "symbols", index), "is not a linear swap", f"write {pair}:{pair.partition('/')[2]}")


def strategies_have_accounts(tree: Any) -> Iterator[Mistake]:
    """Each strategy says where it trades, where that is not clear."""
    accounts = _listed(tree, "accounts")
    names = [name for account in accounts if isinstance(name := at(account, "name"), str)]
    for index, strategy in enumerate(_listed(tree, "strategies")):
        place, name = ("strategies", index, "account"), at(strategy, "account")
        if at(strategy, "route"):
            if name is not None:
                yield Mistake(place, "stands beside route, and they contradict each other", "leave one of them out")
        elif name is None and accounts:
            yield Mistake(place, "is missing, and there are accounts", f"name one of them: {', '.join(names)}")
        elif name is not None and not accounts:
            yield Mistake(place, "names an account, and there are none", "leave it out, or add accounts")
        elif isinstance(name, str) and name not in names:
            meant = suggestion(name, names)
            yield Mistake(place, "is none of accounts", f"did you mean {meant}?" if meant else f"name one of them: {', '.join(names)}")


def routes_lead_somewhere(tree: Any) -> Iterator[Mistake]:
    """A route leads each of its symbols to an account that trades it, and such a strategy decides in the loop, for all of them."""
    universe = [symbol for symbol in _listed(tree, "universe", "symbols") if isinstance(symbol, str)]
    traded = {name: _own(each, universe) for each in _listed(tree, "accounts") if isinstance(name := at(each, "name"), str)}
    for index, strategy in enumerate(_listed(tree, "strategies")):
        route, use = at(strategy, "route"), at(strategy, "use")
        if not isinstance(route, Mapping) or not route:
            continue
        if not traded:
            yield Mistake(("strategies", index, "route"), "leads to accounts, and there are none", "leave it out, or add accounts")
        elif at(tree, "universe", "select") is not None:
            yield Mistake(("strategies", index, "route"), "names its symbols itself, and there is universe.select", "leave one of them out")
        elif isinstance(use, str) and is_own(use):
            yield Mistake(("strategies", index, "route"), "is for strategies that ship so far", "give this one an account")
        for symbol, account in route.items() if traded else ():
            place = ("strategies", index, "route", str(symbol))
            if not isinstance(account, str) or account not in traded:
                meant = suggestion(str(account), list(traded))
                remedy = f"did you mean {meant}?" if meant else f"name one of them: {', '.join(traded)}"
                yield Mistake(place, "leads to none of accounts", remedy)
            elif symbol not in traded[account]:
                yield Mistake(place, f"leads to account {account}, which does not trade it", "add it there, or lead it elsewhere")


def _own(account: Any, universe: Sequence[str]) -> Sequence[Any]:
    swap = at(account, "market") == "swap"
    given = at(account, "symbols")
    return given if isinstance(given, list | tuple) else [symbol for symbol in universe if (":" in symbol) == swap]


def accounts_are_used(tree: Any) -> Iterator[Mistake]:
    """An account that no strategy trades on would be polled for nothing."""
    used = {account for strategy in _listed(tree, "strategies") for account in accounts_of(strategy)}
    for index, account in enumerate(_listed(tree, "accounts")):
        if isinstance(name := at(account, "name"), str) and name not in used:
            yield Mistake(("accounts", index, "name"), "is named by no strategy", "leave the account out, or have a strategy trade there")


RULES: Final = (
    one_or_several,
    accounts_have_names,
    accounts_have_keys,
    accounts_trade,
    swaps_are_linear,
    strategies_have_accounts,
    routes_lead_somewhere,
    accounts_are_used,
)
