"""The configuration: what is taken, what is refused, and in which words."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from daemon.config import Config, ConfigError, load
from daemon.config.yamltext import parse

SAMPLE = """\
name: momentum-spot
mode: sandbox
live: {i_understand: false}
exchange:
  id: binance
  market: spot
  credentials:
    api_key: {env: REBALANCED_API_KEY}
    secret: {file: secret}
    password: {credential: password}
  ccxt: {options: {adjustForTimeDifference: true}, timeout: 5000}
paper: {balances: {USDT: 10000, BTC: 0.10}, fee: {maker: 0.001, taker: 0.00075}, slippage_bps: 5}
universe: {quote: USDT, symbols: [BTC/USDT, ETH/USDT]}
timeframe: 1h
bars: {source: auto, grace: 3s, min_coverage: 0.8, synthetic_max: 5}
strategies:
  - name: momo
    use: portfolio_momentum
    share: 0.6
    schedule: {every: 24, at_start: false}
    params: {lookback: 20, top: 3, exposure: 0.8, weights: {price: 0.5, rsi: 0.003}, rsi_sign: contrarian}
risk: {gross: 1.0, weight_max: 0.35}
execution: {style: market, band: 0.02, band_relative: 0.10, destination: target}
reconcile: {every: 30s, foreign: ringfence}
journal: {path: var/momentum-spot.sqlite}
api: {host: 127.0.0.1, port: 8787, token: {env: REBALANCED_TOKEN}}
logging: {level: info, format: json}
"""
CANARY = "cAnArYq7Z"
# FILE: where what; remedy. One line, one semicolon.
SENTENCE = re.compile(r"\S+\.yaml: (the file|line \d+(, column \d+)?|REBALANCED__\w*|\S+( \(from REBALANCED__\w+\))?) [^;\n]+; [^;\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    price: float = 0.5
    rsi: float = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    lookback: int = 20
    top: int = 3
    exposure: float = 0.8
    weights: Weights = field(default_factory=Weights)
    rsi_sign: Literal["contrarian", "momentum"] = "contrarian"
    floor: float | None = None

    def __post_init__(self) -> None:
        if self.lookback < 2:
            raise ValueError(f"lookback is {self.lookback}; give 2 bars or more")


class Momentum:
    Params = Params
    every = 12


@pytest.fixture(autouse=True)
def toy_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """One strategy whose parameters this file knows."""
    monkeypatch.setattr("strategies.REGISTRY", {"portfolio_momentum": Momentum}, raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


def read(folder: Path, text: str | bytes, **environ: str) -> Config:
    path = folder / "sample.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, environ)


def refusals(folder: Path, text: str | bytes, **environ: str) -> tuple[str, ...]:
    """The sentences of a refused text, without the file's name, each of the one form."""
    with pytest.raises(ConfigError) as refused:
        read(folder, text, **environ)
    assert refused.value.__cause__ is None
    assert all(SENTENCE.fullmatch(each) for each in refused.value.problems), refused.value.problems
    return tuple(each.partition(": ")[2] for each in refused.value.problems)


def complaint(call: Callable[[], object]) -> Exception | None:
    """What a call has to say against its input; any other exception is a failure."""
    try:
        call()
    except (ConfigError, ValidationError) as error:
        return error
    return None


def changed(*changes: tuple[str, str]) -> str:
    text = SAMPLE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_sample_arrives_as_written(folder: Path) -> None:
    """Every section holds what the file says, money with the file's own digits."""
    config = read(folder, SAMPLE)
    assert (config.name, config.mode, config.bar_length) == ("momentum-spot", "sandbox", timedelta(hours=1))
    assert str(config.paper.balances["BTC"]) == "0.10"
    assert config.paper.fee.taker == Decimal("0.00075")
    assert config.universe.symbols == ("BTC/USDT", "ETH/USDT")
    assert config.strategies[0].params == Params()
    assert config.execution.band_relative == 0.1
    assert config.exchange.ccxt == {"options": {"adjustForTimeDifference": True}, "timeout": 5000}


def test_config_is_frozen(folder: Path) -> None:
    """Nobody changes the configuration behind another's back."""
    with pytest.raises(ValueError, match="frozen"):
        read(folder, SAMPLE).risk.gross = 0.5


def keys_of(text: str) -> Iterator[tuple[int, int]]:
    """Where each key begins and ends, except those of free mappings, which are the user's own."""
    free = [found.span(1) for found in re.finditer(r"(?:balances|ccxt): ({.*?})(?:\n|, fee)", text)]
    for found in re.finditer(r"\w+(?=:)", text):
        if not any(start <= found.start() < end for start, end in free):
            yield found.span()


@pytest.mark.parametrize("slip", ["drop", "double", "swap", "space", "upper"])
def test_one_wrong_character_in_any_key_is_refused(folder: Path, slip: str) -> None:
    """A key that is misspelt by one character is never ignored."""
    found = list(keys_of(SAMPLE))
    assert len(found) == 66
    for start, end in found:
        key = SAMPLE[start:end]
        slips = {"drop": key[:-1], "double": key + key[-1], "swap": "z" + key[1:], "space": f'"{key} "', "upper": key.capitalize()}
        problems = refusals(folder, SAMPLE[:start] + (slips[slip] or "q") + SAMPLE[end:])
        assert problems, key


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("lookback: 20", "lookbak: 20", "strategies[0].params.lookbak is not a parameter of portfolio_momentum; did you mean lookback?"),
        ("price: 0.5", "prise: 0.5", "strategies[0].params.weights.prise is not a parameter of portfolio_momentum; did you mean price?"),
        ("lookback: 20", "lookback: 1", "strategies[0].params.lookback is 1; give 2 bars or more"),
        ("lookback: 20", "lookback: 20.0", "strategies[0].params.lookback is 20.0, not a whole number; give a whole number"),
        ("top: 3", "top: true", "strategies[0].params.top is true or false where a number is wanted; give a whole number"),
        (
            "rsi_sign: contrarian",
            "rsi_sign: contrary",
            "strategies[0].params.rsi_sign is not contrarian or momentum; did you mean contrarian?",
        ),
        (
            "use: portfolio_momentum",
            "use: portfolio_momentun",
            "strategies[0].use is not a registered strategy; did you mean portfolio_momentum?",
        ),
        ("mode: sandbox", "mode: sandbx", "mode is not paper, sandbox, shadow or live; did you mean sandbox?"),
        ("mode: sandbox", "mode: ghost", "mode is not paper, sandbox, shadow or live; write paper, sandbox, shadow or live"),
        ("market: spot", "market: future", "exchange.market is not spot or swap; write spot or swap"),
        ("gross: 1.0", "gross: 1.01", "risk.gross is above 1, and spot cannot owe; write 1 or less"),
        ("gross: 1.0", "margin_max: 0.5", "risk.margin_max is for swaps, and exchange.market is spot; leave it out"),
        ("gross: 1.0", "correlation_jump: 0", "risk.correlation_jump is 0; give a number above 0 and at most 2"),
        ("gross: 1.0", "gross: .nan", "risk.gross is not a finite number; give a number above 0 and at most 100"),
        (
            "gross: 1.0",
            "gross: '1.0'",
            "risk.gross is text where a number is wanted; give a number above 0 and at most 100, without quotes or signs around it",
        ),
        ("port: 8787", "port: 65536", "api.port is 65536; give a whole number from 0 to 65535"),
        ("grace: 3s", "grace: 3", "bars.grace has no unit; write a length of time from 100ms to 5m, like 30s"),
        ("timeframe: 1h", "timeframe: 1w", "timeframe is not a length of time; write a whole number and ms, s, m, h or d, from 1s to 1d"),
        ("timeframe: 1h", "timeframs: 1h", "timeframs is not a known key; did you mean timeframe?"),
        (
            "name: momentum-spot",
            "name: Momentum",
            "name is not a name of at most 40 lower-case letters, digits and hyphens; write it like momentum-spot",
        ),
        ("i_understand: false", "i_understand: yes", "live.i_understand is neither true nor false; write true or false"),
        (
            "every: 24",
            "every: 90m",
            "strategies[0].schedule.every is not a whole number of bars; give a multiple of timeframe, or a number of bars",
        ),
        ("every: 24", "every: 0", "strategies[0].schedule.every is 0; give a whole number from 1 to 100000"),
        (
            "every: 24",
            'cron: "0 24 * * *"',
            (
                "strategies[0].schedule.cron has no hour from 0 to 23 where one is wanted; "
                'write minute, hour, day of the month, month and day of the week, like "0 0 * * *"'
            ),
        ),
        (
            "every: 24",
            "cron: 5/15 0 * * *",
            "strategies[0].schedule.cron has a step without a range in its minute; write the range too, as */15 or 8-20/4",
        ),
        (
            "every: 24",
            "cron: 24",
            (
                "strategies[0].schedule.cron is not text; "
                'write minute, hour, day of the month, month and day of the week, like "0 0 * * *", in quotes'
            ),
        ),
        (
            "every: 24",
            "every: 24, cron: 0 0 * * *",
            "strategies[0].schedule.cron stands beside every, and they contradict each other; leave one of them out",
        ),
        ("every: 24", "tz: UTC", "strategies[0].schedule.tz is the time zone of a cron, and there is none; add cron, or leave tz out"),
        *(
            (
                "every: 24",
                f"cron: 0 0 * * *, tz: {zone}",
                "strategies[0].schedule.tz is not a time zone that this machine knows; write UTC, or a name like Europe/Berlin",
            )
            for zone in ("Europe/Berln", "Europe", "../etc/passwd", "7", "''")
        ),
        (
            "every: 24",
            "every: 24, off_target: 0.02",
            (
                "strategies[0].schedule.off_target is not above execution.band, so nothing would be traded between due times; "
                "raise it, or lower the band"
            ),
        ),
        ("every: 24", "off_target: 1.5", "strategies[0].schedule.off_target is 1.5; give a number above 0 and at most 1"),
        (
            "band_relative: 0.10",
            "turnover_max: 0",
            "execution.turnover_max is 0; give a number above 0 and at most 100",
        ),
        ("band_relative: 0.10", "cooldown: -1", "execution.cooldown is -1; give a whole number from 0 to 100000"),
        (
            "band_relative: 0.10",
            "cooldown: 6 h",
            "execution.cooldown is not a length of time; write a whole number and ms, s, m, h or d, from 1s to 366d",
        ),
        ("[BTC/USDT, ETH/USDT]", "[]", "universe.symbols is empty; name at least one"),
        ("[BTC/USDT, ETH/USDT]", "BTC/USDT", "universe.symbols is not a list; write it as [A, B], or one `- A` a line"),
        ("ETH/USDT]", "BTC/USDT]", "universe.symbols[1] is the same as universe.symbols[0]; leave one of them out"),
        (
            "ETH/USDT]",
            "ETH/BTC]",
            "universe.symbols[1] is not paid in universe.quote; use a market of that quote, or name its quote in universe.quotes",
        ),
        ("ETH/USDT]", "ETHUSDT]", "universe.symbols[1] is not a symbol; write it like BTC/USDT, or BTC/USDT:USDT of a swap"),
        ("ETH/USDT]", "ETH/USDT:USDT]", "universe.symbols[1] is a swap, and exchange.market is spot; write ETH/USDT"),
        ("band: 0.02", "band: 0.4", "execution.band is not below risk.weight_max, so nothing would ever be bought; lower the band"),
        (
            "universe: {",
            "universe: {sectors: {a: [ETH/USDT], b: [ETH/USDT]}, ",
            "universe.sectors.b[0] is in universe.sectors.a too; leave it in one sector",
        ),
        ("universe: {", "universe: {sectors: {a: []}, ", "universe.sectors.a is empty; name at least one"),
        ("logging: {level: info, format: json}", "logging:", "logging is empty; give it a value, or leave the key out"),
    ],
)
def test_one_mistake_is_one_sentence(folder: Path, old: str, new: str, sentence: str) -> None:
    """A mistake is one sentence: where, what, and what to do."""
    assert refusals(folder, changed((old, new))) == (sentence,)


def test_all_mistakes_at_once(folder: Path) -> None:
    """One start tells everything that is wrong, also between keys."""
    text = changed(("mode: sandbox", "mode: live"), ("gross: 1.0", "gross: -2"), ("host: 127.0.0.1", "host: 0.0.0.0"), ("ETH/", "BTC/"))
    text = (
        text.replace(", token: {env: REBALANCED_TOKEN}", "")
        .replace("    api_key: {env: REBALANCED_API_KEY}\n", "")
        .replace("top: 3", "topp: 3")
    )
    places = [each.split(" ")[0] for each in refusals(folder, text)]
    assert places == [
        "strategies[0].params.topp",
        "risk.gross",
        "live.i_understand",
        "exchange.credentials.api_key",
        "universe.symbols[1]",
        "api.host",
    ]


def test_everything_missing(folder: Path) -> None:
    """An almost empty file is told what it lacks, with an example of each."""
    problems = refusals(folder, "{}")
    assert [each.split(" ")[0] for each in problems] == ["name", "mode", "universe", "timeframe", "strategies", "exchange"]
    assert problems[1] == "mode is missing; add it, for example `mode: paper`"


def test_live_needs_the_users_word(folder: Path) -> None:
    """Mode live is refused until the user says that real orders are wanted."""
    text = changed(("mode: sandbox", "mode: live"))
    assert refusals(folder, text)[0].startswith("live.i_understand is not true")
    assert read(folder, text.replace("i_understand: false", "i_understand: true")).mode == "live"


def test_paper_needs_no_keys_but_money(folder: Path) -> None:
    """Mode paper runs without credentials, and needs something to buy with."""
    text = changed(("mode: sandbox", "mode: paper"))
    text = re.sub(r"  credentials:\n(    .*\n)+", "", text)
    assert read(folder, text).mode == "paper"
    assert refusals(folder, text.replace("{USDT: 10000, BTC: 0.10}", "{BTC: 1}"))[0].startswith(
        "paper.balances has nothing of universe.quote"
    )


@pytest.mark.parametrize(
    ("host", "safe"), [("127.0.0.1", True), ("::1", True), ("localhost", True), (str(IPv4Address(0)), False), ("::", False), ("box", False)]
)
def test_api_beyond_this_machine_needs_a_token(folder: Path, host: str, safe: bool) -> None:
    """Only a loopback address goes without a token."""
    text = changed(("host: 127.0.0.1", f'host: "{host}"'))
    assert read(folder, text).api.host == host
    bare = text.replace(", token: {env: REBALANCED_TOKEN}", "")
    if safe:
        assert read(folder, bare).api.token is None
    else:
        assert refusals(folder, bare)[0].startswith("api.host can be reached")


def with_shares(shares: list[str]) -> str:
    rows = "".join(f"  - {{name: s{index}, use: portfolio_momentum, share: {share}}}\n" for index, share in enumerate(shares))
    return re.sub(r"strategies:\n(  .*\n)+", f"strategies:\n{rows}", SAMPLE)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.decimals(min_value="-0.2", max_value="1.2", places=6), min_size=1, max_size=6))
def test_shares_sum_to_at_most_one(folder: Path, shares: list[Decimal]) -> None:
    """Any shares above 0 whose exact sum is at most 1 are taken, any others are refused."""
    text = with_shares([f"{share:f}" for share in shares])
    if sum(shares) <= 1 and min(shares) > 0:
        assert [each.share for each in read(folder, text).strategies] == shares
    else:
        assert refusals(folder, text)


def test_shares_are_summed_exactly(folder: Path) -> None:
    """Ten tenths are one; one tenth and a hair is too much."""
    assert len(read(folder, with_shares(["0.1"] * 10)).strategies) == 10
    assert refusals(folder, with_shares(["0.9", "0.1000000000000000000000000000000000001"]))
    assert refusals(folder, with_shares(["0.5", ".nan"]))


def test_strategy_names_are_used_once(folder: Path) -> None:
    """Two strategies of one name could not be told apart."""
    text = with_shares(["0.1", "0.1"]).replace("name: s1", "name: s0")
    assert refusals(folder, text) == ("strategies[1].name is the same as strategies[0].name; give each its own name",)


def test_schedules_count_bars(folder: Path) -> None:
    """A period is the same whether it is said in bars or in time."""
    for written in ("24", "24h", "1d", "1440m"):
        config = read(folder, changed(("every: 24", f"every: {written}")))
        assert config.strategies[0].schedule.bars(config.bar_length) == 24


def test_a_schedule_is_a_period_or_a_cron(folder: Path) -> None:
    """A cron stands for itself, in its zone; where neither is given, the strategy's own period counts."""
    (strategy,) = read(folder, changed(("every: 24", 'cron: "30 8 * * mon-fri", tz: Europe/Berlin, off_target: 0.05'))).strategies
    assert (strategy.schedule.cron, strategy.schedule.tz, strategy.schedule.off_target) == ("30 8 * * mon-fri", "Europe/Berlin", 0.05)
    for unsaid in (("every: 24, ", ""), ("    schedule: {every: 24, at_start: false}\n", "")):
        assert read(folder, changed(unsaid)).strategies[0].schedule.bars(timedelta(hours=1)) == 12


def test_a_cooldown_is_bars_or_time(folder: Path) -> None:
    """A number counts bars, a length of time says its unit, and 0 is none."""
    for written, meant in (("0", 0), ("6", 6), ("6h", timedelta(hours=6))):
        config = read(folder, changed(("destination: target}", f"destination: target, cooldown: {written}, turnover_max: 0.5}}")))
        assert (config.execution.cooldown, config.execution.turnover_max) == (meant, 0.5)


def test_grace_is_at_most_half_a_bar(folder: Path) -> None:
    """Waiting for late bars never takes longer than half the timeframe."""
    assert read(folder, SAMPLE).grace == timedelta(seconds=3)
    assert read(folder, changed(("timeframe: 1h", "timeframe: 1s"))).grace == timedelta(milliseconds=500)


def test_one_fee_is_for_both_sides(folder: Path) -> None:
    """A fee given as a number is the maker's and the taker's."""
    config = read(folder, changed(("{maker: 0.001, taker: 0.00075}", "0.0012")))
    assert config.paper.fee.maker == config.paper.fee.taker == Decimal("0.0012")
    assert refusals(folder, changed(("{maker: 0.001, taker: 0.00075}", "1"))) == ("paper.fee is 1; give a number from -0.01 to 0.1",)


def test_equal_configurations_have_one_fingerprint(folder: Path) -> None:
    """Comments, order and spelt-out defaults do not matter; any value does."""
    config = read(folder, SAMPLE)
    assert read(folder, changed(("market: spot", "market: spot # so"), ("top: 3, ", ""))).fingerprint == config.fingerprint
    assert read(folder, changed(("top: 3", "top: 2"))).fingerprint != config.fingerprint


def test_journal_lies_where_the_service_may_write(folder: Path) -> None:
    """Under systemd the journal is in the state directory, else below the working directory, unless its path is absolute."""
    config, cwd = read(folder, SAMPLE), Path("/work-dir")
    assert config.journal_path({}, cwd) == cwd / "var/momentum-spot.sqlite"
    assert config.journal_path({"STATE_DIRECTORY": "/var/lib/r:/var/lib/s"}, cwd) == Path("/var/lib/r/var/momentum-spot.sqlite")
    assert read(folder, changed(("path: var/momentum-spot.sqlite", "path: /x.sqlite"))).journal_path({}, cwd) == Path("/x.sqlite")
    assert (
        read(folder, changed(("journal: {path: var/momentum-spot.sqlite}\n", ""))).journal_path({}, cwd) == cwd / "var/momentum-spot.sqlite"
    )
    assert refusals(folder, changed(("path: var/", "path: ~/")))[0].startswith("journal.path is not a path without ~")


ANY_VALUE = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.just(Decimal("nan")) | st.text(max_size=4)


@settings(max_examples=120, deadline=None)
@given(st.data(), st.recursive(ANY_VALUE, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=3), each, max_size=2)))
def test_any_value_anywhere_is_judged(data: st.DataObject, value: Any) -> None:
    """A value of any type in any place is taken or refused, never a crash."""
    tree = parse(SAMPLE).tree
    put(tree, data.draw(st.sampled_from(list(places(tree)))), value)
    complaint(partial(Config.model_validate, tree))


def places(tree: Any, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*loc, key)
        yield from places(value, (*loc, key))


def put(tree: Any, loc: tuple[str | int, ...], value: Any) -> None:
    for key in loc[:-1]:
        tree = tree[key]
    tree[loc[-1]] = value
