"""The sections of the configuration, as the rest of the program sees them.

Rule: a key exists here once its feature exists; until then it is refused as unknown.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from daemon.config.accountrules import account_mistakes
from daemon.config.alerts import AlertConfig, HeartbeatConfig
from daemon.config.backtesting import BacktestConfig
from daemon.config.exchange import MAX_SYMBOLS, AccountConfig, ExchangeConfig
from daemon.config.execution import ExecutionConfig
from daemon.config.kinds import Asset, Name, Symbol, Truth
from daemon.config.papers import PaperConfig
from daemon.config.params import named, parameters, usual_period
from daemon.config.risk import RiskConfig
from daemon.config.rules import ShareRule, mistakes
from daemon.config.secrets import SecretRef
from daemon.config.section import Section
from daemon.config.selection import SelectConfig
from daemon.config.sentences import combined
from daemon.config.times import bars_or_duration, cron_text, zone_name
from daemon.config.values import (
    above,
    approximate,
    as_decimal,
    as_duration,
    as_float,
    between,
    choice,
    duration,
    duration_text,
    exact,
    parse_duration,
    some,
    whole,
    words,
    wrong,
)

MAX_ACCOUNTS = 10
ABSENT: Any = None  # the exchange of a file with `accounts`; it leaves this package as one configuration for each, which has its own
MAX_STRATEGIES = 100
MAX_ALERTS = 10
ONE_DAY = timedelta(days=1)

# It stands beside symbols in signals and reports, and must not be taken for one.
SectorName = Annotated[str, *words(r"[A-Za-z0-9][A-Za-z0-9_ -]{0,39}", "the name of a sector", "layer1")]


def _detail(value: Any) -> timedelta | None:
    """How long, or for ever."""
    return None if value is None else as_duration(value, timedelta(days=1), timedelta(days=3650))


def _off_target(value: Any) -> float | None:
    """A distance, or none."""
    return None if value is None else as_float(value, above("0", "1"))


def _money(value: Any) -> Decimal | None:
    """An amount of quote, or none."""
    return None if value is None else as_decimal(value, above("0", "1000000000000"))


class LiveConfig(Section):
    """The user's word that real orders are wanted."""

    i_understand: Truth = Field(default=False, description="true: mode live may send real orders. Mode live refuses to start without it.")
    key_may_withdraw: Truth = Field(default=False, description="true: mode live takes a key that may withdraw, which it refuses else.")


class UniverseConfig(Section):
    """What is traded."""

    quote: Asset = Field(description="Asset that everything is paid in and measured in.", examples=["USDT"])
    symbols: Annotated[tuple[Symbol, ...], BeforeValidator(some), Field(max_length=MAX_SYMBOLS)] = Field(
        description="Markets to trade, BASE/QUOTE, each once.", examples=["[BTC/USDT, ETH/USDT]"]
    )
    select: SelectConfig | None = Field(
        default=None, description="Of the symbols, only those that are traded most: a universe that changes by itself."
    )
    sectors: Mapping[SectorName, Annotated[tuple[Symbol, ...], BeforeValidator(some)]] = Field(
        default={}, description="Groups of symbols by name; a symbol is in one at most. Those that are not traded are skipped."
    )
    quotes: Mapping[Asset, Symbol] = Field(
        default={},
        description="Further assets that pay for symbols, each with the market that prices it in quote; each pays for its own buys.",
        examples=["{USDC: USDC/USDT}"],
    )
    watch: Annotated[tuple[Symbol, ...], Field(max_length=MAX_SYMBOLS)] = Field(
        default=(), description="Markets whose prices are followed and that are not traded; those of quotes are anyway."
    )


class BarsConfig(Section):
    """How bars arrive, and when a set of them is good enough to decide on."""

    source: Annotated[Literal["auto", "stream", "poll"], choice("auto", "stream", "poll")] = Field(
        default="auto", description="auto: websocket, by REST while that is refused; stream: websocket only; poll: REST only."
    )
    grace: Annotated[timedelta, *duration("100ms", "5m")] = Field(
        default=timedelta(seconds=3), description="How long after its close a bar is waited for; never more than half the timeframe."
    )
    min_coverage: Annotated[float, *approximate(above("0", "1"))] = Field(
        default=0.8, description="Share of the symbols whose markets are open that must have a real bar for a decision."
    )
    synthetic_max: Annotated[int, *whole(between("0", "1000"))] = Field(
        default=5, description="Flat bars in a row that may stand in for a symbol's missing ones; after that it is not tradable."
    )


class ScheduleConfig(Section):
    """When a strategy decides: `every` so many bars, counted from 1970-01-01 UTC and not from the start of the process, or by `cron`."""

    every: Annotated[int | timedelta, *bars_or_duration(1)] = Field(
        default=24,
        description="Bars between two decisions, or a length of time like 24h that is a whole number of bars. "
        "pairs decides every bar and sector_rotation every 48 unless this says otherwise.",
    )
    cron: Annotated[str | None, BeforeValidator(cron_text)] = Field(
        default=None, description="Instead of every: minute, hour, day of the month, month, day of the week. The next full slice decides."
    )
    tz: Annotated[str, BeforeValidator(zone_name)] = Field(default="UTC", description="Time zone of cron, such as Europe/Berlin.")
    off_target: Annotated[float | None, BeforeValidator(_off_target)] = Field(
        default=None,
        description="Act between due times too, when a holding is further than this from its target, as a share of equity. "
        "Of several strategies the smallest counts, since they share the account.",
    )
    at_start: Truth = Field(default=False, description="true: a fresh journal decides at once instead of waiting for its first due time.")

    def bars(self, bar_length: timedelta) -> int:
        """The period of `every` in bars."""
        return self.every if isinstance(self.every, int) else self.every // bar_length

    def told(self, bar_length: timedelta) -> str:
        """For a person: when it decides."""
        due = f"every {self.bars(bar_length)} bars" if self.cron is None else f"at {self.cron} ({self.tz})"
        return due if self.off_target is None else f"{due}, and acts when {self.off_target:g} off target"


SHARES = above("0", "1")
SHARE_SCHEMA = {"anyOf": [SHARES.schema("number"), {"enum": list(get_args(ShareRule))}]}


def _share(value: Any) -> Any:
    """A number, or the rule that makes one."""
    if isinstance(value, str) and value not in get_args(ShareRule):
        raise wrong("is neither a number nor a rule", "write a number above 0 and at most 1, or equal, or inverse_volatility")
    return value if isinstance(value, str) else as_decimal(value, SHARES)


class StrategyConfig(Section):
    """One strategy and its share of the capital."""

    name: Name = Field(description="Its name in logs, targets and reports; each once.", examples=["momo"])
    use: Annotated[str, BeforeValidator(named)] = Field(
        description="Which strategy it is: a registered name, ./my_strategy.py:Class (from this file's directory) or package.module:Class.",
        examples=["portfolio_momentum"],
    )
    account: Name | None = Field(
        default=None, description="Which of accounts it trades on; needed where there are any, unless there is a route."
    )
    route: Mapping[Symbol, Name] = Field(
        default={},
        description="Instead of account, to trade on several: by symbol, the account that trades it. Its weights are of its shares of all.",
        examples=["{BTC/USDT: main, ETH/USDT: second}"],
    )
    share: Annotated[Decimal | ShareRule, BeforeValidator(_share), WithJsonSchema(SHARE_SCHEMA)] = Field(
        default=Decimal(1),
        description="Share of the capital it manages, at most 1 together; or a rule, the same for all: equal, or inverse_volatility "
        "of what each has made so far.",
    )
    budget: Annotated[timedelta, *duration("10ms", "10s")] = Field(
        default=timedelta(seconds=1),
        description="A strategy of your own: how long it may take over a bar; one that takes longer is ended and holds its last targets.",
    )
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig, validate_default=True, description="When it decides.")
    params: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(
        default={}, validate_default=True, description="Its parameters; those left out have the strategy's defaults."
    )

    @field_validator("schedule", mode="after")
    @classmethod
    def _has_the_period_of_the_strategy(cls, given: ScheduleConfig, info: ValidationInfo) -> ScheduleConfig:
        if "every" in given.model_fields_set or "use" not in info.data:
            return given
        return given.model_copy(update={"every": usual_period(info.data["use"])})

    @field_validator("params", mode="after")
    @classmethod
    def _are_those_of_the_strategy(cls, given: Any, info: ValidationInfo) -> Any:
        return parameters(info.data["use"], given) if "use" in info.data else given


class CapitalConfig(Section):
    """How much of the account is put to work; `capital: all` is all of it."""

    fixed: Annotated[Decimal | None, BeforeValidator(_money)] = Field(
        default=None, description="At most so much of universe.quote, whatever the account is worth."
    )
    share: Annotated[Decimal, *exact(above("0", "1"))] = Field(default=Decimal(1), description="Share of the equity that is used.")
    cash_buffer: Annotated[Decimal, *exact(between("0", "0.5"))] = Field(
        default=Decimal(0), description="Share of what is used that stays in cash, for fees and prices that move."
    )
    cash_floor: Annotated[Decimal, *exact(between("0", "1000000000000"))] = Field(
        default=Decimal(0), description="Amount of universe.quote that always stays in cash."
    )
    compounding: Annotated[Literal["full", "half", "none"], choice("full", "half", "none")] = Field(
        default="full", description="How much of the profit is put to work again; what is lost is gone from the capital in any case."
    )


def _capital(value: Any) -> Any:
    """All of it, or a mapping."""
    return {} if value == "all" else value


class ReconcileConfig(Section):
    """Comparing the ledger with the account."""

    every: Annotated[timedelta, *duration("1s", "1h")] = Field(
        default=timedelta(seconds=30),
        description="How often the account is polled; every 5s at least while the exchange does not tell of our trades by itself.",
    )
    foreign: Annotated[Literal["adopt", "ringfence", "halt"], choice("adopt", "ringfence", "halt")] = Field(
        default="ringfence",
        description="What is done with what nothing explains. ringfence: coins that came are kept apart, money is put to work; adopt: both "
        "are traded; halt: trading halts, also for orders of other hands. Coins of no universe are always left alone.",
    )
    age_max: Annotated[timedelta, *duration("5s", "7d")] = Field(
        default=timedelta(hours=1), description="Of several accounts: how long one may go unread before the others only reduce."
    )


class JournalConfig(Section):
    """The durable record."""

    path: Annotated[str | None, *words(r"[^~\x00-\x20](?:[^\x00-\x1f]*[^\x00-\x20])?", "a path without ~", "var/momentum-spot.sqlite")] = (
        Field(
            default=None,
            description="SQLite file; relative paths start at $STATE_DIRECTORY, else at the working directory. Default: var/NAME.sqlite. "
            "Each of several accounts has its own: var/NAME.ACCOUNT.sqlite.",
        )
    )
    detail: Annotated[timedelta | None, BeforeValidator(_detail)] = Field(
        default=None,
        description="How long plans, limits and every point of the equity are kept; each start, and each day, removes what is older. "
        "Trades, flows, orders and decisions are always kept.",
        examples=["365d"],
    )


class ApiConfig(Section):
    """The HTTP interface."""

    host: Annotated[str, *words(r"[0-9A-Za-z.:-]{1,253}", "an address", "127.0.0.1")] = Field(
        default="127.0.0.1", description="Address to listen at; other than loopback needs a token."
    )
    port: Annotated[int, *whole(between("0", "65535"))] = Field(
        default=8787, description="TCP port; 0 takes any free one, which the log then names."
    )
    token: SecretRef | None = Field(default=None, description="Bearer token that commands must show.")


class LoggingConfig(Section):
    """What is logged on stdout, and how."""

    level: Annotated[Literal["debug", "info", "warning", "error"], choice("debug", "info", "warning", "error")] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Annotated[Literal["json", "console"], choice("json", "console")] = Field(
        default="json", description="json: one object a line, for machines; console: for people."
    )


def _timeframe(value: Any) -> str:
    """A bar length that lies on the grid of the due times; weeks and months do not (1970-01-01 was a Thursday)."""
    as_duration(value, timedelta(seconds=1), ONE_DAY)
    return value if isinstance(value, str) else duration_text(value)


class Config(Section):
    """One instance of the daemon."""

    name: Name = Field(
        description="Name of this instance: journal, logs, metrics, namespace of the client order ids.", examples=["momentum-spot"]
    )
    mode: Annotated[Literal["paper", "sandbox", "shadow", "live"], choice("paper", "sandbox", "shadow", "live")] = Field(
        description="paper: live market data, simulated fills, no keys; sandbox: the exchange's own test environment; "
        "shadow: the real account, full plans, nothing sent; live: real orders.",
        examples=["paper"],
    )
    live: LiveConfig = Field(default_factory=LiveConfig, description="Needed by mode live only.")
    exchange: ExchangeConfig = Field(
        default=ABSENT,
        validate_default=False,
        description="Where to trade; needed unless there are accounts.",
        examples=["{id: binance}"],
    )
    accounts: Annotated[tuple[AccountConfig, ...], Field(max_length=MAX_ACCOUNTS)] = Field(
        default=(), description="Instead of exchange: several accounts, each with a ledger, a journal and a trading state of its own."
    )
    paper: PaperConfig = Field(default_factory=PaperConfig, description="The simulated account of mode paper.")
    backtest: BacktestConfig = Field(default_factory=BacktestConfig, description="How stored bars fill orders.")
    universe: UniverseConfig = Field(description="What to trade.", examples=["{quote: USDT, symbols: [BTC/USDT]}"])
    timeframe: Annotated[str, BeforeValidator(_timeframe), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,9}(s|m|h|d)$"})] = Field(
        description="Length of a bar, any that the exchange has: 1s, 1m, 5m, 1h, 1d.", examples=["1h"]
    )
    bars: BarsConfig = Field(default_factory=BarsConfig, description="How bars arrive.")
    strategies: Annotated[tuple[StrategyConfig, ...], BeforeValidator(some), Field(max_length=MAX_STRATEGIES)] = Field(
        description="What decides.", examples=["[{name: momo, use: portfolio_momentum}]"]
    )
    removed_strategies: Annotated[Literal["unwind", "keep"], choice("unwind", "keep")] = Field(
        default="unwind",
        description="What strategies that are no longer in the list have left: unwind: crossed to those who want it, the rest sold at the "
        "next decision; keep: counted, and neither sold nor put to work.",
    )
    capital: Annotated[CapitalConfig, BeforeValidator(_capital)] = Field(
        default_factory=CapitalConfig, description="How much of the account the weights are shares of: all, or a mapping."
    )
    risk: RiskConfig = Field(default_factory=RiskConfig, description="Limits.")
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig, description="How targets become orders.")
    reconcile: ReconcileConfig = Field(default_factory=ReconcileConfig, description="Comparing the ledger with the account.")
    journal: JournalConfig = Field(default_factory=JournalConfig, description="The durable record.")
    api: ApiConfig = Field(default_factory=ApiConfig, description="The HTTP interface.")
    alerts: Annotated[tuple[AlertConfig, ...], Field(max_length=MAX_ALERTS)] = Field(
        default=(), description="Channels to a person: log lines that are sent over webhooks."
    )
    heartbeat: HeartbeatConfig | None = Field(default=None, description="Asked every few minutes, so that somebody notices when it is not.")
    logging: LoggingConfig = Field(default_factory=LoggingConfig, description="The log on stdout.")

    _source: Path = PrivateAttr(default=Path("configuration"))
    _account: str = PrivateAttr(default="")
    _place: str = PrivateAttr(default="exchange")
    _whole: "Config | None" = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _all_mistakes_at_once(cls, data: Any, handler: ModelWrapValidatorHandler["Config"]) -> "Config":
        """Rules between keys are judged beside the keys themselves, so that one wrong key does not hide them."""
        broken = [*mistakes(data), *account_mistakes(data)]
        try:
            config = handler(data)
        except ValidationError as error:
            raise combined(error, broken) from None
        if broken:
            raise combined(None, broken)
        return config

    def model_post_init(self, context: Any, /) -> None:
        """Remember which file this was, for the paths that start there."""
        if isinstance(context, Mapping) and "source" in context:
            self._source = Path(context["source"])

    @property
    def source(self) -> Path:
        """The file this was read from, as the user named it."""
        return self._source

    def belongs_to(self, account: str, place: str, whole: "Config") -> None:
        """Say that this is the part of one of several accounts, which stands at `place` in the file `whole`."""
        self._account, self._place, self._whole = account, place, whole

    @property
    def whole(self) -> "Config":
        """The configuration with all of its accounts; of a single exchange this one."""
        return self if self._whole is None else self._whole

    @property
    def account(self) -> str:
        """The name of the account; "" of a single exchange."""
        return self._account

    @property
    def place(self) -> str:
        """The dotted key of the exchange in the file."""
        return self._place

    @property
    def instance(self) -> str:
        """What journal and orders belong to: the name, and which account of it."""
        return f"{self.name}/{self._account}" if self._account else self.name

    @property
    def namespace(self) -> str:
        """What order ids begin from: those of a paper, a sandbox and a live instance of one name are never taken for one another's."""
        return f"{self.instance}|{self.mode}"

    @property
    def bar_length(self) -> timedelta:
        """The timeframe as a length of time."""
        length = parse_duration(self.timeframe)
        if length is None:
            raise ValueError("a timeframe is checked when it is read")
        return length

    @property
    def fingerprint(self) -> str:
        """A hash of everything that is configured; equal for equal configurations, whatever their comments and defaults left out."""
        return sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def grace(self) -> timedelta:
        """How long bars are waited for: `bars.grace`, at most half the timeframe."""
        return min(self.bars.grace, self.bar_length / 2)

    def read_path(self, path: str) -> Path:
        """Where a file that is read lies: relative paths start at the directory of the configuration."""
        return self._source.parent / path

    def journal_path(self, environ: Mapping[str, str], cwd: Path) -> Path:
        """Where the journal lies: below $STATE_DIRECTORY where systemd sets it, else below the working directory."""
        # systemd separates several state directories with colons; the first is ours.
        state = environ.get("STATE_DIRECTORY", "").split(":")[0]
        path = (Path(state) if state else cwd) / (self.journal.path or f"var/{self.name}.sqlite")
        return path.with_stem(f"{path.stem}.{self._account}") if self._account else path
