"""First configuration: whatever is answered, the file passes its check, holds no secret, and overwrites nothing."""

import shlex
import stat
from contextlib import suppress
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.cli import shared as cli_shared
from daemon.cli.main import app
from daemon.config import ConfigError, load
from daemon.tools.firstconfig import KEYS, MODES, Answers, CannotWrite, next_steps, symbols_of, text, write
from strategies import REGISTRY

OPTIMISED = {"minimum_variance", "risk_parity", "hierarchical_risk_parity"}
UNIVERSES = {
    "two": ("BTC/USDT", "ETH/USDT"),
    "usual": symbols_of("", "USDT"),
    "thirty": tuple(f"C{number}/USDT" for number in range(30)),
    "swaps": ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"),
}


def said(*arguments: str | Path, typed: str | None = None) -> Result:
    """What `init` does."""
    return CliRunner().invoke(app, ["init", *map(str, arguments)], input=typed, catch_exceptions=False)


@pytest.mark.parametrize("use", sorted(REGISTRY.keys() if find_spec("skfolio") else REGISTRY.keys() - OPTIMISED))
def test_every_combination_passes_its_check(use: str, tmp_path: Path) -> None:
    """Each strategy in each mode over few, usual, many symbols and swaps, where it trades these, is a configuration that would run."""
    wide = [name for name in UNIVERSES if use != "long_short_momentum" or name == "swaps"]  # which sells short
    for number, (mode, universe) in enumerate(product(MODES, wide)):
        terms = {"capital": ("all", "2500.50")[number % 2], "keys": KEYS[number % len(KEYS)]}
        answers = Answers(name="mine", mode=mode, symbols=UNIVERSES[universe], strategy=use, understood=True, **terms)  # type: ignore[arg-type]
        config = write(answers, tmp_path / f"{number}.yaml")
        assert (config.mode, config.universe.symbols, config.strategies[0].use) == (mode, UNIVERSES[universe], use)
        assert config.exchange.market == ("swap" if universe == "swaps" else "spot")


def test_what_sells_short_is_refused_on_spot(tmp_path: Path) -> None:
    """No file is written, and the sentence says that spot cannot be short."""
    answer = said(tmp_path / "a.yaml", "--strategy", "long_short_momentum")
    assert (answer.exit_code, list(tmp_path.iterdir())) == (78, [])
    assert "spot" in answer.stderr


@pytest.mark.skipif(find_spec("skfolio") is not None, reason="skfolio is installed, so nothing is missing")
def test_a_strategy_that_needs_more_says_so(tmp_path: Path) -> None:
    """Where the extra of an optimiser is not installed, no file is written that could not run, and the sentence says what to install."""
    answer = said(tmp_path / "a.yaml", "--strategy", "risk_parity")
    assert (answer.exit_code, list(tmp_path.iterdir())) == (78, [])
    assert "rebalanced[optimize]" in answer.stderr


def test_weights_fit_their_limit(tmp_path: Path) -> None:
    """What a strategy gives one symbol is not cut by the limit beside it."""
    for use, symbols in product(("portfolio_momentum", "sector_rotation", "equal_weight"), UNIVERSES.values()):
        config = write(Answers(name="a", symbols=symbols, strategy=use), tmp_path / "a.yaml", force=True)
        sizes = [len(members) for members in config.universe.sectors.values()]
        few = {"portfolio_momentum": min(3, len(symbols)), "sector_rotation": min(sizes, default=0)}.get(use, len(symbols))
        assert config.risk.weight_max >= config.strategies[0].params.exposure / few


@pytest.mark.parametrize("keys", KEYS)
def test_secrets_are_referred_to(keys: str, tmp_path: Path) -> None:
    """The file says where keys and token are, the passphrase too where there is one; only its owner reads it, and each gets a next step."""
    answers = Answers(name="mine", mode="sandbox", exchange="okx", symbols=("BTC/USDT",), keys=keys, passphrase=True)
    config = write(answers, tmp_path / "mine.yaml")
    assert stat.S_IMODE((tmp_path / "mine.yaml").stat().st_mode) == 0o600
    where = config.exchange.credentials
    references = (where.api_key, where.secret, where.password, config.api.token)
    assert [set(reference.model_dump(exclude_none=True)) for reference in references if reference] == [{keys}] * 4
    steps = "\n".join(next_steps(answers, tmp_path / "mine.yaml"))
    assert all(getattr(reference, keys) in steps for reference in references if reference)


@pytest.mark.parametrize("odd", ["true", "1e5", "0x1F", "null", "a b", "a: b", "#", "[", "'", '"', "no", "1h", "-", "é", "\n"])
def test_nothing_typed_becomes_another_value(odd: str, tmp_path: Path) -> None:
    """Whatever is typed stands in the file as that text, or is refused by a sentence about its key."""
    for key in ("name", "exchange", "quote", "timeframe", "strategy"):
        made = Answers(**{"name": "a", "symbols": ("BTC/USDT",), key: odd})  # type: ignore[arg-type]
        with suppress(ConfigError):
            config = write(made, tmp_path / "a.yaml", force=True)
            assert odd in (config.name, config.exchange.id, config.universe.quote, config.timeframe)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "a.yaml"])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file that is there stays as it is, unless --force says otherwise, and also then if the new one would not pass."""
    there = tmp_path / "mine.yaml"
    there.write_text("mine")
    answer = said(there)
    assert (answer.exit_code, there.read_text()) == (2, "mine")
    assert "--force" in answer.stderr
    with pytest.raises(CannotWrite):
        write(Answers(name="a", symbols=("BTC/USDT",)), there)
    answer = said(there, "--force", "--timeframe", "7x")
    assert (answer.exit_code, answer.stderr.startswith(f"{there}: timeframe ")) == (78, True)
    assert there.read_text() == "mine"
    assert said(there, "--force").exit_code == 0
    assert load(there, {}).mode == "paper"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_without_a_terminal_options_and_what_is_usual_answer(tmp_path: Path) -> None:
    """A script is asked nothing, and is told the commands that come next."""
    answer = said(tmp_path / "a.yaml", "--symbols", "btc eth", "--strategy", "equal_weight", "--quote", "usdc", "--timeframe", "4h")
    assert answer.exit_code == 0, answer.output
    config = load(tmp_path / "a.yaml", {})
    assert (config.universe.symbols, config.timeframe, config.name) == (("BTC/USDC", "ETH/USDC"), "4h", "a")
    steps = [line.strip() for line in answer.stdout.splitlines()[1:]]
    assert steps == [f"rebalanced {verb} {tmp_path / 'a.yaml'}" for verb in ("doctor", "check", "plan", "run")]
    assert CliRunner().invoke(app, shlex.split(f"{steps[1]} --offline")[1:]).exit_code == 0


def test_a_person_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each answer that was not given is asked for, and asked for again where it cannot be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("daemon.cli.first.attended", lambda: True)
    typed = ["papper", "paper", "binanze", "kraken", "usd", "BTC, ETH", "equal_weight", "1d", "lots", "500", "first", "here.yaml"]
    answer = said(typed="\n".join(typed) + "\n")
    assert answer.exit_code == 0, answer.output
    config = load(tmp_path / "here.yaml", {})
    assert (config.name, config.exchange.id, config.universe.symbols) == ("first", "kraken", ("BTC/USD", "ETH/USD"))
    assert config.paper.balances == {"USD": 500}
    for remark in ("papper is none of", "did you mean binance?", "lots is neither all nor an amount"):
        assert remark in answer.stdout


def test_live_needs_the_users_word(tmp_path: Path) -> None:
    """Mode live is written only for whoever has said that real orders are wanted."""
    answer = said(tmp_path / "a.yaml", "--mode", "live")
    assert (answer.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "--i-understand" in answer.stderr
    assert said(tmp_path / "a.yaml", "--mode", "live", "--i-understand").exit_code == 0


@pytest.mark.parametrize(
    "wrong", [["--mode", "real"], ["--capital", "nan"], ["--exchange", "bynanse"], ["--mode", "live", "--i-understand", "--keys", "paper"]]
)
def test_a_wrong_answer_is_wrong_use(wrong: list[str], tmp_path: Path) -> None:
    """An option that cannot be is one sentence that names it, and writes nothing."""
    answer = said(tmp_path / "a.yaml", *wrong)
    assert (answer.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert len(answer.stderr.splitlines()) == 1


def test_every_line_says_what_it_means(tmp_path: Path) -> None:
    """A key with a value of its own has a comment, so that the file can be read without the docs."""
    for line in text(Answers(name="a", symbols=("BTC/USDT",)), tmp_path / "a.yaml").splitlines():
        assert not line or line.endswith(":") or "#" in line, line
    assert cli_shared.attended() in (True, False)
