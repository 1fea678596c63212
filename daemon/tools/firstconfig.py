"""First configuration: a handful of answers becomes a commented file that passes `check`.

Rule: a secret is only ever referred to; what is written has been read back and checked, and nothing is overwritten unasked.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Final

from daemon.config import Config, ConfigError, load
from daemon.config.yamltext import CORE
from daemon.tools.checks import summary

KEYED: Final = ("sandbox", "shadow", "live")
MODES: Final = ("paper", *KEYED)
KEYS: Final = ("env", "file", "credential")
COINS: Final = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LINK", "LTC")
SECTORS: Final[Mapping[str, frozenset[str]]] = {
    "store_of_value": frozenset({"BTC", "LTC", "BCH"}),
    "platforms": frozenset({"ETH", "SOL", "ADA", "DOT", "AVAX", "BNB", "TRX", "NEAR", "ATOM"}),
    "services": frozenset({"XRP", "LINK", "XLM", "UNI", "AAVE"}),
}
PERCENT: Final = 100
_PLAIN: Final = re.compile(r"[A-Za-z0-9./][A-Za-z0-9_./:-]*[A-Za-z0-9]|[A-Za-z]")


class CannotWrite(Exception):
    """The file is not written; one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a first configuration follows from.

    `capital`: "all", or an amount of quote. `keys`: by which way secrets are referred to; at some exchanges a `passphrase` belongs to them.
    `understood`: the user's word that mode live sends real orders.
    """

    name: str
    mode: str = "paper"
    exchange: str = "binance"
    quote: str = "USDT"
    symbols: tuple[str, ...] = ()
    strategy: str = "portfolio_momentum"
    timeframe: str = "1h"
    capital: str = "all"
    keys: str = "env"
    passphrase: bool = False
    understood: bool = False

    @property
    def market(self) -> str:
        """The kind of market: a symbol of a swap names what it settles in."""
        return "swap" if any(":" in symbol for symbol in self.symbols) else "spot"


def symbols_of(given: str, quote: str) -> tuple[str, ...]:
    """Symbols as typed: apart by spaces or commas, in any case, a coin alone for its market in `quote`. Nothing typed: some usual ones."""
    words = re.split(r"[\s,]+", given.strip().upper()) if given.strip() else [coin for coin in COINS if coin != quote]
    return tuple(dict.fromkeys(word if "/" in word else f"{word}/{quote}" for word in words if word))


def write(answers: Answers, to: Path, *, force: bool = False) -> Config:
    """Write the file, whole or not at all; only its owner may read it where it refers to secrets. What it says, read back.

    Raises:
        ConfigError: the answers do not make a configuration that passes `check`.
        CannotWrite: there is a file already, or the disk refuses.
    """
    if to.exists() and not force:
        raise CannotWrite(f"{to} exists and is not overwritten; name another file, or add --force")
    building = to.with_name(f".{to.name}.new")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        building.unlink(missing_ok=True)
        building.touch(mode=0o600 if answers.mode in KEYED else 0o644)
        building.write_text(text(answers, to), encoding="utf-8")
        _checked(building, to)
        building.replace(to)
    except OSError as error:
        raise CannotWrite(f"{to}: cannot be written ({error.strerror or 'I/O error'})") from None
    finally:
        with suppress(OSError):
            building.unlink(missing_ok=True)
    return load(to, {})


def _checked(building: Path, to: Path) -> None:
    """Raises ConfigError with the sentences of `check`, which speak of the file that is meant."""
    try:
        summary(load(building, {}))
    except ConfigError as error:
        raise ConfigError([problem.replace(str(building), str(to)) for problem in error.problems]) from None


def text(answers: Answers, to: Path) -> str:
    """The file: every key with what it means, where its value is a choice."""
    sections = [
        _head(answers, to),
        _exchange(answers),
        *([_paper(answers)] if answers.mode == "paper" else []),
        _universe(answers),
        _strategies(answers),
        _capital(answers),
        _limits(answers),
        _service(answers),
    ]
    return "\n".join(sections)


def next_steps(answers: Answers, to: Path) -> list[str]:
    """The commands that come next, with what must be there before."""
    steps = []
    for what, place in _secrets(answers).items():
        match place:
            case {"env": name}:
                steps.append(f"read -rs {name} && export {name}   # {what}, typed unseen")
            case {"file": path}:
                there = to.parent / path
                steps.append(f"install -D -m 600 /dev/stdin {there}   # {what}, then Ctrl-D")
            case {"credential": name}:
                steps.append(f"# {what}: LoadCredential={name}:PATH in the unit, or a file {name} in $CREDENTIALS_DIRECTORY")
    return [*steps, *(f"rebalanced {verb} {to}" for verb in ("doctor", "check", "plan", "run"))]


# --- sections --------------------------------------------------------------------------------------------------------


def _scalar(value: str) -> str:
    """A text as it stands in YAML, in quotes where it could be taken for something else."""
    return value if _PLAIN.fullmatch(value) and not any(form.fullmatch(value) for _, form in CORE) else json.dumps(value)


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_scalar, values))}]"


def _line(key: str, value: str, comment: str) -> str:
    """A key with its comment in one column, as far as the value leaves room for it."""
    return f"{f'{key}: {value}':<31} # {comment}\n"


def _opens(key: str, comment: str) -> str:
    """The same of a key whose value stands below it."""
    return f"{f'{key}:':<31} # {comment}\n"


def _secrets(answers: Answers) -> dict[str, dict[str, str]]:
    """Where each secret is: what the keys need, by what it is called."""
    if answers.mode not in KEYED:
        return {}
    wanted = ["api_key", "secret", *(["password"] if answers.passphrase else []), "token"]
    prefix = "REBALANCED" if answers.mode == "live" else f"REBALANCED_{answers.mode.upper()}"
    found = {}
    for what in wanted:
        word = what.replace("_", "-")
        names = {
            "env": "REBALANCED_TOKEN" if what == "token" else f"{prefix}_{what.upper()}",
            "file": f"secrets/{answers.name}-{word}",
            "credential": word if what == "api_key" else f"api-{word}",
        }
        found[what] = {answers.keys: names[answers.keys]}
    return found


def _reference(place: Mapping[str, str]) -> str:
    ((way, where),) = place.items()
    return f"{{{way}: {_scalar(where)}}}"


_MODE: Final = {
    "paper": "live market data, simulated fills, no keys",
    "sandbox": "the exchange's own test environment, with the keys of that",
    "shadow": "the real account and full plans; nothing is sent",
    "live": "REAL ORDERS WITH REAL MONEY",
}


def _head(answers: Answers, to: Path) -> str:
    lines = [
        "# Written by `rebalanced init`. What is left out has its default; docs/operating.md says how to run it,",
        f"# config/paper.yaml shows every key, and `rebalanced check {to.name}` what this one would do.\n",
        _line(
            "name", _scalar(answers.name), "of the journal, the log lines and the order ids: lower-case letters, digits, hyphens"
        ).rstrip(),
        _line("mode", answers.mode, _MODE[answers.mode]).rstrip(),
    ]
    if answers.mode == "live":
        said = "true" if answers.understood else "false"
        lines += ["live:", _line("  i_understand", said, "without true, mode live does not start").rstrip()]
    return "\n".join(lines) + "\n"


def _exchange(answers: Answers) -> str:
    made = "exchange:\n" + _line("  id", _scalar(answers.exchange), "any exchange of ccxt")
    if answers.market == "swap":
        made += _line("  market", "swap", "linear perpetuals, long and short; docs/swaps.md")
    places = {what: place for what, place in _secrets(answers).items() if what != "token"}
    if places:
        made += _line(
            "  credentials", "", "where the keys are, never the keys; of a key that may read and trade, and not withdraw"
        ).replace(":  ", ":   ", 1)
        made += "".join(f"    {what}: {_reference(place)}\n" for what, place in places.items())
    return made


def _paper(answers: Answers) -> str:
    money = "10000" if answers.capital == "all" else answers.capital
    return (
        "paper:\n"
        + _line("  balances", f"{{{_scalar(answers.quote)}: {money}}}", "what a fresh account holds; the journal keeps it from then on")
        + _line("  fee", "0.001", "share of what is traded: 0.1 %")
        + _line("  slippage_bps", "5", "basis points; how much worse than the next price a fill is")
    )


def _universe(answers: Answers) -> str:
    made = "universe:\n" + _line("  quote", _scalar(answers.quote), "everything is paid in it, and measured in it")
    made += _line("  symbols", _list(answers.symbols), "what is traded")
    if answers.strategy == "sector_rotation":
        made += _opens("  sectors", "what is alike; each symbol in one of them")
        made += "".join(f"    {name}: {_list(members)}\n" for name, members in _sectors(answers.symbols).items())
    return made + "\n" + _line("timeframe", _scalar(answers.timeframe), "length of a bar; slow ones keep fees small")


def _sectors(symbols: Sequence[str]) -> dict[str, list[str]]:
    """The symbols by what they are; those that are not known here together."""
    found: dict[str, list[str]] = {}
    for symbol in symbols:
        base = symbol.partition("/")[0]
        name = next((name for name, members in SECTORS.items() if base in members), "others")
        found.setdefault(name, []).append(symbol)
    return found


def _strategies(answers: Answers) -> str:
    use = answers.strategy
    name = re.sub(r"[^a-z0-9]+", "-", use.rpartition(":")[2].lower()).strip("-") or "mine"
    made = "strategies:\n" + _line("  - name", _scalar(name), "in logs, targets and reports")
    made += _line("    use", _scalar(use), "docs/strategies.md has its formula and its parameters")
    if answers.mode in ("paper", "sandbox"):
        made += "    schedule:\n" + _line("      at_start", "true", "decide at once; leave it out to wait for the first due time")
    params = _PARAMS[use](answers) if use in _PARAMS else ""
    return made + (f"    params:\n{params}" if params else "")


def _momentum(answers: Answers) -> str:
    return (
        _line("      lookback", "20", "bars; of the price change and of the average")
        + _line("      top", str(min(3, len(answers.symbols))), "so many of the best are held")
        + _line("      exposure", "0.8", "share of the capital; the rest stays in cash")
    )


def _long_short(answers: Answers) -> str:
    each = str(max(1, min(3, len(answers.symbols) // 2)))
    return (
        _line("      lookback", "20", "bars; of the price change and of the average")
        + _line("      top", each, "so many of the best are bought")
        + _line("      bottom", each, "so many of the worst are sold short")
        + _line("      exposure", "0.8", "share of the capital; longs and shorts together")
    )


def _pairs(answers: Answers) -> str:
    both = "long_short" if answers.market == "swap" else "long_only"
    return (
        _line("      pair", _list(answers.symbols[:2]), "the one against the other")
        + _line("      mode", both, "spot cannot be short" if both == "long_only" else "one long, the other short")
        + _line("      lookback", "30", "bars; of the mean that the ratio comes back to")
        + _line("      size", "0.1", "share of the capital per leg")
    )


def _rotation(_answers: Answers) -> str:
    return (
        _line("      lookback", "30", "bars; of the return that sectors are ranked by")
        + _line("      best", "1", "so many sectors are held")
        + _line("      exposure", "0.8", "share of the capital; the rest stays in cash")
    )


def _risk_adjusted(answers: Answers) -> str:
    count = len(answers.symbols)
    least = min(0.05, floor(0.9 / count * PERCENT / 2) / PERCENT)
    most = max(0.3, ceil(0.9 / count * PERCENT) / PERCENT)
    return (
        _line("      exposure", "0.9", "share of the capital; the rest stays in cash")
        + _line("      weight_min", f"{least:g}", "of each symbol")
        + _line("      weight_max", f"{most:g}", "of each symbol")
        + _line("      target_volatility", "0.15", "a year; the whole is made smaller above it")
    )


def _fixed(answers: Answers) -> str:
    each = floor(0.9 / len(answers.symbols) * 1000) / 1000
    rows = "".join(f"        {_scalar(symbol)}: {each:g}\n" for symbol in answers.symbols)
    return _opens("      weights", "shares of the capital; write what you want") + rows


def _evenly(_answers: Answers) -> str:
    return _line("      exposure", "0.95", "share of the capital; the rest stays in cash")


_PARAMS: Final[Mapping[str, Callable[[Answers], str]]] = {
    "portfolio_momentum": _momentum,
    "long_short_momentum": _long_short,
    "pairs": _pairs,
    "sector_rotation": _rotation,
    "risk_adjusted": _risk_adjusted,
    "fixed_weights": _fixed,
    "equal_weight": _evenly,
    "minimum_variance": _evenly,
    "risk_parity": _evenly,
    "hierarchical_risk_parity": _evenly,
}


def _capital(answers: Answers) -> str:
    if answers.mode == "paper" or answers.capital == "all":
        return _line("capital", "all", "how much of the account the weights are shares of")
    return "capital:\n" + _line("  fixed", answers.capital, f"{answers.quote}; at most so much, whatever the account is worth")


def _limits(answers: Answers) -> str:
    sizes = [len(members) for members in _sectors(answers.symbols).values()]
    few = {"portfolio_momentum": min(3, len(answers.symbols)), "sector_rotation": min(sizes)}.get(answers.strategy, len(answers.symbols))
    most = min(1.0, max(0.35, ceil(20 / few) / 20))  # as much as one of so few is given, up to the next twentieth
    return (
        "risk:\n"
        + _line("  gross", "1.0", "share of the equity; the sum of all weights")
        + _line("  weight_max", f"{most:g}", "share of the equity; the largest weight of one symbol")
        + _line("  drawdown_halt", "0.25", "share; after such a fall from the highest value, trading halts until you resume it")
        + "\nexecution:\n"
        + _line("  band", "0.02", "share of the equity; a holding this near to its target is left alone")
    )


def _service(answers: Answers) -> str:
    made = "journal:\n" + _line(
        "  path", _scalar(f"var/{answers.name}.sqlite"), "the durable record; of $STATE_DIRECTORY or the working directory"
    )
    made += (
        "\napi:\n"
        + _line("  host", "127.0.0.1", "any other than loopback needs a token")
        + _line("  port", "8787", "the dashboard is at /")
    )
    token = _secrets(answers).get("token")
    if token is None:
        return made + _line("  # token", "{env: REBALANCED_TOKEN}", "with one, `pause`, `flatten` and the others command it")
    return made + _line("  token", _reference(token), "what commands must show: make one up, say by `openssl rand -hex 32`")
