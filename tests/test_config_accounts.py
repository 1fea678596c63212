"""Accounts in the configuration: either one exchange or a list, and what is said of a list that does not hold together."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.config import ConfigError, load, load_all
from tests.oneprocess import written

Change = Callable[[dict[str, Any]], object]
KEYS = {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}


def written_for_two(folder: Path, change: Change = lambda _: None) -> Path:
    """A paper configuration with two accounts, changed."""
    path = written(folder, {}, mode="paper")
    content = json.loads(path.read_text())
    del content["exchange"]
    content["universe"]["symbols"] += ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    content["universe"]["sectors"] = {"old": ["BTC/USDT", "BTC/USDT:USDT"], "new": ["SOL/USDT"]}
    content["risk"] = {"groups": {"both": {"symbols": ["ETH/USDT", "SOL/USDT"], "max": 0.5}}}
    content["accounts"] = [
        {"name": "main", "id": "binance", "symbols": ["BTC/USDT", "SOL/USDT"]},
        {"name": "side", "id": "okx", "symbols": ["ETH/USDT"]},
        {"name": "swaps", "id": "binance", "market": "swap"},
    ]
    (momo,) = content["strategies"]
    content["strategies"] = [{**momo, "name": f"momo-{each['name']}", "account": each["name"]} for each in content["accounts"]]
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_each_account_is_a_configuration_of_its_own(tmp_path: Path) -> None:
    """It has its exchange, its symbols with their sectors and groups, its strategies, its journal, and the rest of the file."""
    main, side, swaps = load_all(written_for_two(tmp_path), {})
    assert [each.universe.symbols for each in (main, side, swaps)] == [
        ("BTC/USDT", "SOL/USDT"),
        ("ETH/USDT",),
        ("BTC/USDT:USDT", "ETH/USDT:USDT"),
    ]
    assert [each.exchange.market for each in (main, side, swaps)] == ["spot", "spot", "swap"]
    assert [list(each.universe.sectors) for each in (main, side, swaps)] == [["old", "new"], [], ["old"]]
    assert [{name: group.symbols for name, group in each.risk.groups.items()} for each in (main, side)] == [
        {"both": ("SOL/USDT",)},
        {"both": ("ETH/USDT",)},
    ]
    assert [[strategy.name for strategy in each.strategies] for each in (main, side, swaps)] == [
        ["momo-main"],
        ["momo-side"],
        ["momo-swaps"],
    ]
    assert [each.journal_path({}, Path("/here")).name for each in (main, side)] == ["momo.main.sqlite", "momo.side.sqlite"]
    assert {each.instance for each in (main, side, swaps)} == {"momo/main", "momo/side", "momo/swaps"}
    assert {each.accounts for each in (main, side, swaps)} == {()}


def test_an_account_whose_symbols_are_left_empty_has_all_of_its_kind(tmp_path: Path) -> None:
    """`symbols:` with nothing behind it is as if it were not there."""
    main, *_ = load_all(written_for_two(tmp_path, lambda content: content["accounts"][0].update(symbols=None)), {})
    assert main.universe.symbols == ("BTC/USDT", "ETH/USDT", "SOL/USDT")


def test_one_exchange_is_one_account_without_a_name(tmp_path: Path) -> None:
    """Journal and instance of a file with an exchange are what they were before there were accounts."""
    (only,) = load_all(written(tmp_path, {}, mode="paper"), {})
    assert (only.account, only.instance, only.journal_path({}, Path("/here"))) == ("", "momo", Path("/here/momo.sqlite"))


def test_who_asks_for_one_of_several_names_it(tmp_path: Path) -> None:
    """A verb that is about one account says which there are, and refuses a name that is none of them."""
    path = written_for_two(tmp_path)
    assert load(path, {}, "side").account == "side"
    for account in ("", "other"):
        with pytest.raises(ConfigError, match="main, side, swaps"):
            load(path, {}, account)


def live(content: dict[str, Any]) -> None:
    content.update(mode="sandbox")
    for account in content["accounts"]:
        account["credentials"] = KEYS


def twice(content: dict[str, Any]) -> None:
    live(content)
    content["accounts"][1] |= {"id": "binance"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(exchange={"id": "binance"}), "exchange stands beside accounts"),
        (lambda content: content.pop("accounts"), "exchange is missing; add it"),
        (lambda content: content["accounts"][1].update(name="main"), r"accounts\[1\].name is the same as accounts\[0\].name"),
        (lambda content: content["accounts"][0]["symbols"].append("DOGE/USDT"), r"accounts\[0\].symbols\[2\] is not in universe"),
        (lambda content: content["accounts"][1].update(dead_mans_switch="60s"), r"accounts\[1\].dead_mans_switch needs an exchange"),
        (lambda content: content["accounts"][0]["symbols"].append("BTC/USDT:USDT"), "is a swap, other than the account's market"),
        (lambda content: content["accounts"][0].update(symbols=["BTC/USDT"]), r"universe.symbols\[2\] is traded by no account"),
        (lambda content: content["universe"]["symbols"].append("LTC/USDT:BTC"), "is not a linear swap"),
        (
            lambda content: content["strategies"][0].pop("account"),
            "account is missing, and there are accounts; name one",
        ),
        (lambda content: content["strategies"][0].update(account="mian"), "did you mean main"),
        (lambda content: content["strategies"][0].update(account="side"), r"accounts\[0\].name is named by no strategy"),
        (
            lambda content: content["strategies"].append({**content["strategies"][0], "name": "more"}),
            "shares of account main that sum to 2",
        ),
        (lambda content: content["accounts"][0].update(idd="binance"), "did you mean id"),
        (lambda content: content.update(mode="sandbox"), r"accounts\[2\].credentials.secret is missing, and mode sandbox needs it"),
        (twice, r"accounts\[1\].credentials.api_key is that of accounts\[0\]"),
    ],
)
def test_what_does_not_hold_together_is_said(tmp_path: Path, change: Change, words: str) -> None:
    """A slip in accounts is one sentence that names the key and what to do."""
    with pytest.raises(ConfigError, match=words):
        load_all(written_for_two(tmp_path, change), {})


def test_one_key_may_be_for_two_markets(tmp_path: Path) -> None:
    """Spot and swaps of one exchange are two accounts, often under one key."""
    assert len(load_all(written_for_two(tmp_path, live), {})) == 3


def test_an_account_without_accounts_is_refused(tmp_path: Path) -> None:
    """A strategy that names an account where there is one exchange would not be what its author thinks."""
    strategy = {"name": "momo", "use": "portfolio_momentum", "account": "main"}
    with pytest.raises(ConfigError, match="names an account, and there are none"):
        load(written(tmp_path, {}, mode="paper", strategies=[strategy]), {})
