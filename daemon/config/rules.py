"""Rules between keys: what no single key can know.

Rule: they read the mapping of the file as well as parsed sections, and pass over what is missing or of the wrong type;
that is said elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel

from daemon.config.execution import MakerThenTakerConfig, TwapConfig
from daemon.config.ownuse import is_contained
from daemon.config.swaprules import countdowns_are_of_swaps, leverage_is_of_swaps
from daemon.config.tree import at, finite
from daemon.config.values import Mistake, is_loopback, parse_duration, suggestion
from daemon.core.portfolio import UNASSIGNED
from daemon.core.strategy import BARS_MAX

# By what the shares of all strategies may follow.
ShareRule = Literal["equal", "inverse_volatility"]

REFERENCE: Final = "{env: NAME}, {file: PATH} or {credential: NAME}"
# Of the styles that work on an order over time, by the names of their terms: which time is to fit into which, and whether it must be less.
STYLE_TERMS: Final[Mapping[str, type[BaseModel]]] = {"maker_then_taker": MakerThenTakerConfig, "twap": TwapConfig}
STYLE_TIMES: Final = (("maker_then_taker", "passive", "total", True), ("twap", "interval", "horizon", False))
PAUSES: Final = (("pause", timedelta(minutes=1)), ("pause_max", timedelta(hours=1)))  # of rejects, where they are left out


def mistakes(tree: Any) -> Iterator[Mistake]:
    """Every rule between keys that is broken."""
    for rule in RULES:
        yield from rule(tree)


def live_is_acknowledged(tree: Any) -> Iterator[Mistake]:
    """Mode live needs the user's word."""
    if at(tree, "mode") == "live" and at(tree, "live", "i_understand") in (None, False):
        yield Mistake(("live", "i_understand"), "is not true, and mode live sends real orders", "set it to true if that is what you want")


def keys_are_given(tree: Any) -> Iterator[Mistake]:
    """Sandbox, shadow and live sign their requests."""
    mode = at(tree, "mode")
    if mode not in ("sandbox", "shadow", "live") or at(tree, "exchange") is None:
        return
    for key in ("api_key", "secret"):
        if at(tree, "exchange", "credentials", key) is None:
            yield Mistake(("exchange", "credentials", key), f"is missing, and mode {mode} needs it", f"add it as {REFERENCE}")


def paper_has_money(tree: Any) -> Iterator[Mistake]:
    """A paper account without the currency of the universe can never buy."""
    quote, balances = at(tree, "universe", "quote"), at(tree, "paper", "balances")
    if at(tree, "mode") != "paper" or not isinstance(quote, str):
        return
    held = balances.keys() if isinstance(balances, Mapping) else {"USDT"} if balances is None else {quote}
    if quote not in held:
        yield Mistake(("paper", "balances"), "has nothing of universe.quote, so nothing can be bought", "add an amount of that asset")


def symbols_fit(tree: Any) -> Iterator[Mistake]:
    """Each symbol once, paid in a quote of the universe, and no quote is traded itself: its money would be a position and cash at once."""
    quote, symbols = at(tree, "universe", "quote"), at(tree, "universe", "symbols")
    quotes = [quote, *_further_quotes(tree)]
    for index, symbol in enumerate(symbols if isinstance(symbols, list | tuple) else ()):
        place = ("universe", "symbols", index)
        if not isinstance(symbol, str) or symbol.count("/") != 1:
            continue
        if symbol in symbols[:index]:
            yield Mistake(place, f"is the same as universe.symbols[{symbols.index(symbol)}]", "leave one of them out")
        if isinstance(quote, str) and symbol.partition("/")[2].partition(":")[0] not in quotes:
            yield Mistake(place, "is not paid in universe.quote", "use a market of that quote, or name its quote in universe.quotes")
        if symbol.partition("/")[0] in quotes:
            yield Mistake(place, "trades an asset that pays for others", "leave it out, or take that asset out of universe.quotes")


def _further_quotes(tree: Any) -> Mapping[str, Any]:
    quotes = at(tree, "universe", "quotes")
    return quotes if isinstance(quotes, Mapping) else {}


def quotes_have_a_price(tree: Any) -> Iterator[Mistake]:
    """A further quote is worth what its market with the first one says, on spot."""
    quote = at(tree, "universe", "quote")
    for asset, symbol in _further_quotes(tree).items():
        place = ("universe", "quotes", asset)
        if at(tree, "exchange", "market") == "swap":
            yield Mistake(place, "is of no use with swaps, which settle in universe.quote", "leave it out")
        elif asset == quote:
            yield Mistake(place, "is universe.quote already", "leave it out")
        elif isinstance(quote, str) and isinstance(symbol, str) and symbol != f"{asset}/{quote}":
            yield Mistake(place, f"does not say what {asset} is worth in universe.quote", f"write {asset}/{quote}")


def watched_are_not_traded(tree: Any) -> Iterator[Mistake]:
    """What is traded is watched anyway, and a name twice is a slip."""
    watch, symbols = at(tree, "universe", "watch"), at(tree, "universe", "symbols")
    for index, symbol in enumerate(watch if isinstance(watch, list | tuple) else ()):
        if symbol in watch[:index]:
            yield Mistake(("universe", "watch", index), f"is the same as universe.watch[{watch.index(symbol)}]", "leave one of them out")
        elif isinstance(symbols, list | tuple) and symbol in symbols:
            yield Mistake(("universe", "watch", index), "is traded, and so watched anyway", "leave it out")


def selections_fit(tree: Any) -> Iterator[Mistake]:
    """What is named is one of the symbols, in one list, and what is looked back over is read at a start."""
    select, symbols, bar = at(tree, "universe", "select"), at(tree, "universe", "symbols"), _length(at(tree, "timeframe"))
    known = symbols if isinstance(symbols, list | tuple) else ()
    named = {key: at(select, key) for key in ("exclude", "always")}
    for key, given in named.items():
        for index, symbol in enumerate(given if isinstance(given, list | tuple) else ()):
            if symbol not in known:
                yield Mistake(("universe", "select", key, index), "is none of universe.symbols", "add it there, or leave it out here")
            elif key == "always" and symbol in (named["exclude"] or ()):
                yield Mistake(("universe", "select", key, index), "is excluded as well", "leave it in one of the two")
    yield from _looks_back(select, bar) if bar else ()


def _looks_back(select: Any, bar: timedelta) -> Iterator[Mistake]:
    for key in ("window", "every", "min_age"):
        place, span = ("universe", "select", key), _length(at(select, key))
        count = at(select, key) if span is None else span // bar
        if span is not None and span % bar:
            yield Mistake(place, "is not a whole number of bars", "give a multiple of timeframe, or a number of bars")
        elif key != "every" and isinstance(count, int) and count >= BARS_MAX:
            yield Mistake(
                place, f"is {count} bars, and a start reads {BARS_MAX} of each symbol at most", "shorten it, or trade longer bars"
            )


def paper_fills_within_the_cap(tree: Any) -> Iterator[Mistake]:
    """Simulated fills are worse than the price by the slippage; beyond the cap there would never be any."""
    execution, slippage_bps = at(tree, "execution"), finite(at(tree, "paper", "slippage_bps"))
    style = at(execution, "style")
    if at(tree, "mode") != "paper" or slippage_bps is None:
        return
    cap, slip_bps = finite(at(execution, "price_cap")), finite(at(execution, "maker_then_taker", "max_slip_bps"))
    if (style == "limit" or (style == "twap" and at(execution, "twap", "child") == "limit")) and cap and slippage_bps >= cap * 10_000:
        what = "is not below execution.price_cap (a fraction), so no order would fill"
        yield Mistake(("paper", "slippage_bps"), what, "lower it, or raise the cap")
    if style == "maker_then_taker" and slip_bps and slippage_bps >= slip_bps:
        what = "is not below execution.maker_then_taker.max_slip_bps, so no order would take anything"
        yield Mistake(("paper", "slippage_bps"), what, "lower it, or raise the other")


def styles_have_time(tree: Any) -> Iterator[Mistake]:
    """An order that rests must be left time to take, and one that trades in parts time for one of them."""
    for style, shorter, longer, strictly in STYLE_TIMES:
        usual = {name: field.default for name, field in STYLE_TERMS[style].model_fields.items()}
        short, long = (_length(at(tree, "execution", style, name)) or usual[name] for name in (shorter, longer))
        if short > long or (strictly and short == long):
            least = "below" if strictly else "at most"
            yield Mistake(("execution", style, shorter), f"is not {least} execution.{style}.{longer}", "shorten it, or lengthen the other")


def fee_tiers_grow(tree: Any) -> Iterator[Mistake]:
    """Each tier begins above the one before it, the first above nothing: below that the fees beside it hold."""
    before, rows = Fraction(0), at(tree, "paper", "fee", "tiers")
    for index, row in enumerate(rows if isinstance(rows, list | tuple) else ()):
        volume = finite(at(row, "volume"))
        if volume is not None and volume <= before:
            yield Mistake(
                ("paper", "fee", "tiers", index, "volume"),
                "is not above what comes before it",
                "order the tiers by growing volume, from above 0 on",
            )
        before = before if volume is None else volume


def fees_are_reserved(tree: Any) -> Iterator[Mistake]:
    """A reserve is of an asset, and of one that pays for nothing else."""
    asset, reserve = at(tree, "execution", "fee_asset"), finite(at(tree, "execution", "fee_reserve"))
    if reserve and asset is None:
        yield Mistake(("execution", "fee_reserve"), "is an amount of execution.fee_asset, which is missing", "name the asset")
    if asset is not None and asset in (at(tree, "universe", "quote"), *_further_quotes(tree)):
        yield Mistake(("execution", "fee_asset"), "is a quote, and fees in a quote are reserved anyway", "leave it out")


def symbols_are_of_the_market(tree: Any) -> Iterator[Mistake]:
    """A swap's symbol ends in the asset it settles in, which is the quote of a linear one; a spot symbol has none."""
    market, symbols = at(tree, "exchange", "market") or "spot", at(tree, "universe", "symbols")
    if at(tree, "accounts"):
        return  # each has its own market
    for index, symbol in enumerate(symbols if isinstance(symbols, list | tuple) else ()):
        if not isinstance(symbol, str) or symbol.count("/") != 1 or market not in ("spot", "swap"):
            continue
        pair, _, settle = symbol.partition(":")
        quote = pair.partition("/")[2]
        if market == "spot" and settle:
            yield Mistake(("universe", "symbols", index), "is a swap, and exchange.market is spot", f"write {pair}")
        elif market == "swap" and settle != quote:
            yield Mistake(("universe", "symbols", index), "is not a linear swap, as exchange.market says", f"write {pair}:{quote}")


def sectors_fit(tree: Any) -> Iterator[Mistake]:
    """A symbol is in one sector, once: counted twice, it would be bought twice."""
    sectors = at(tree, "universe", "sectors")
    place: dict[str, str] = {}
    for sector, symbols in sectors.items() if isinstance(sectors, Mapping) else ():
        for index, symbol in enumerate(symbols if isinstance(symbols, list | tuple) else ()):
            if isinstance(symbol, str) and symbol in place:
                yield Mistake(("universe", "sectors", sector, index), f"is in {place[symbol]} too", "leave it in one sector")
            elif isinstance(symbol, str):
                place[symbol] = f"universe.sectors.{sector}"


def accounts_of(strategy: Any) -> tuple[str, ...]:
    """The accounts that a strategy trades on; "" where there is an exchange."""
    route = at(strategy, "route")
    routed = tuple(str(each) for each in route.values()) if isinstance(route, Mapping) else ()
    return tuple(dict.fromkeys(routed)) or (str(at(strategy, "account") or ""),)


def strategies_fit(tree: Any) -> Iterator[Mistake]:
    """Each name once, and together no more than the capital."""
    strategies = at(tree, "strategies")
    if not isinstance(strategies, list | tuple):
        return
    names = [at(each, "name") for each in strategies]
    for index, name in enumerate(names):
        if isinstance(name, str) and name in names[:index]:
            yield Mistake(("strategies", index, "name"), f"is the same as strategies[{names.index(name)}].name", "give each its own name")
    for index, name in enumerate(names):
        if name == UNASSIGNED:
            yield Mistake(("strategies", index, "name"), "stands for what no strategy has", "give the strategy another name")
    yield from _one_rule(strategies)
    for account in dict.fromkeys(where for each in strategies for where in accounts_of(each)):
        total = sum((_share(each) for each in strategies if account in accounts_of(each)), Fraction())
        if total > 1:
            of = f" of account {account}" if account else ""
            yield Mistake(("strategies",), f"have shares{of} that sum to {float(total):.6g}, more than 1", "lower some of them")


def _one_rule(strategies: Sequence[Any]) -> Iterator[Mistake]:
    """Where the shares follow from a rule, they follow from one."""
    shares = [at(each, "share") for each in strategies]
    rule = next((share for share in shares if share in get_args(ShareRule)), None)
    for index, share in enumerate(shares if rule is not None else ()):
        if share != rule:
            told = "left out" if share is None else share
            yield Mistake(("strategies", index, "share"), f"is {told}, and another's is {rule}", "give all the same rule, or numbers")


def _share(strategy: Any) -> Fraction:
    """A share, exactly; 1 where it is left out, 0 where it is no number (said elsewhere)."""
    share = at(strategy, "share")
    number = Fraction(1) if share is None else finite(share)
    return number if number is not None and 0 < number <= 1 else Fraction()


def budgets_are_of_own_strategies(tree: Any) -> Iterator[Mistake]:
    """What ships runs in the loop, where nothing could end it."""
    strategies = at(tree, "strategies")
    for index, strategy in enumerate(strategies if isinstance(strategies, list | tuple) else ()):
        use = at(strategy, "use")
        if isinstance(strategy, Mapping) and "budget" in strategy and isinstance(use, str) and not is_contained(use):
            yield Mistake(("strategies", index, "budget"), "is for strategies of your own, and this one ships", "leave it out")


def schedules_fit(tree: Any) -> Iterator[Mistake]:
    """A period given as a length of time is a whole number of bars, or its due times would fall between bars."""
    timeframe, strategies = _length(at(tree, "timeframe")), at(tree, "strategies")
    if not timeframe or not isinstance(strategies, list | tuple):
        return
    for index, strategy in enumerate(strategies):
        every = _length(at(strategy, "schedule", "every"))
        if every and every % timeframe:
            yield Mistake(
                ("strategies", index, "schedule", "every"),
                "is not a whole number of bars",
                "give a multiple of timeframe, or a number of bars",
            )


def schedules_have_one_mind(tree: Any) -> Iterator[Mistake]:
    """Either a period or a cron; a time zone is a cron's."""
    strategies = at(tree, "strategies")
    for index, strategy in enumerate(strategies if isinstance(strategies, list | tuple) else ()):
        schedule = at(strategy, "schedule")
        if not isinstance(schedule, Mapping):
            continue
        if schedule.get("cron") is not None and "every" in schedule:
            place = ("strategies", index, "schedule", "cron")
            yield Mistake(place, "stands beside every, and they contradict each other", "leave one of them out")
        if schedule.get("cron") is None and "tz" in schedule:
            yield Mistake(
                ("strategies", index, "schedule", "tz"), "is the time zone of a cron, and there is none", "add cron, or leave tz out"
            )


def distances_are_acted_on(tree: Any) -> Iterator[Mistake]:
    """What lies within the band is not traded, however often it is looked at."""
    strategies, band = at(tree, "strategies"), finite(at(tree, "execution", "band"))
    for index, strategy in enumerate(strategies if isinstance(strategies, list | tuple) else ()):
        distance = finite(at(strategy, "schedule", "off_target"))
        if distance is not None and 0 < distance <= (Fraction("0.02") if band is None else band):
            what = "is not above execution.band, so nothing would be traded between due times"
            yield Mistake(("strategies", index, "schedule", "off_target"), what, "raise it, or lower the band")


def _length(value: Any) -> timedelta | None:
    return value if isinstance(value, timedelta) else parse_duration(value) if isinstance(value, str) else None


def capital_is_one_thing(tree: Any) -> Iterator[Mistake]:
    """An amount or a share, since both at once say nothing clear."""
    capital = at(tree, "capital")
    if isinstance(capital, str) and capital != "all":
        yield Mistake(("capital",), f"is {capital!r}", "write all, or {fixed: 5000}, or {share: 0.5}")
    if isinstance(capital, Mapping) and capital.get("fixed") is not None and "share" in capital:
        yield Mistake(("capital", "share"), "stands beside fixed, and they contradict each other", "leave one of them out")


def approval_has_a_point(tree: Any) -> Iterator[Mistake]:
    """Where nothing is sent, nobody needs to let it go."""
    if at(tree, "mode") == "shadow" and at(tree, "execution", "approve"):
        yield Mistake(("execution", "approve"), "is of no use in mode shadow, which sends nothing", "leave it out")


def bands_let_trade(tree: Any) -> Iterator[Mistake]:
    """A band as wide as the largest weight would never let anything be bought."""
    band = finite(at(tree, "execution", "band"))
    for key in ("weight_max", "sector_max", "correlated_group_max"):
        most = finite(at(tree, "risk", key))
        if band is not None and most is not None and 0 < most <= band:
            yield Mistake(("execution", "band"), f"is not below risk.{key}, so nothing would ever be bought", "lower the band")


def groups_are_of_the_universe(tree: Any) -> Iterator[Mistake]:
    """A group bounds what is traded; a slip of the pen would leave a symbol out of its bound."""
    groups, symbols = at(tree, "risk", "groups"), at(tree, "universe", "symbols")
    known = [symbol for symbol in symbols if isinstance(symbol, str)] if isinstance(symbols, list | tuple) else []
    spelt = {symbol.lower(): symbol for symbol in known}
    for name, group in groups.items() if isinstance(groups, Mapping) and known else ():
        members = at(group, "symbols")
        for index, symbol in enumerate(members if isinstance(members, list | tuple) else ()):
            if isinstance(symbol, str) and symbol not in known:
                meant = suggestion(symbol, list(spelt))
                remedy = f"did you mean {spelt[meant]}?" if meant else "add it there, or leave it out"
                yield Mistake(("risk", "groups", name, "symbols", index), "is not in universe.symbols", remedy)


def limits_can_bind(tree: Any) -> Iterator[Mistake]:
    """A limit that can do nothing, because of another key, is not what its author thinks."""
    risk = at(tree, "risk")
    if at(risk, "sector_max") is not None and not at(tree, "universe", "sectors"):
        yield Mistake(("risk", "sector_max"), "bounds universe.sectors, and there are none", "add universe.sectors, or leave it out")
    if at(risk, "cash_min") is not None and at(tree, "exchange", "market") == "swap":
        yield Mistake(("risk", "cash_min"), "is for spot, where positions are paid for", "use risk.gross instead")
    scale, jump = finite(at(risk, "correlation_scale")), finite(at(risk, "correlation_jump"))
    if scale is not None and scale < 1 and jump == 2:
        yield Mistake(("risk", "correlation_scale"), "waits for a jump of 2, which no correlation makes", "lower risk.correlation_jump")
    order, day = finite(at(risk, "order_notional_max")), finite(at(risk, "day_notional_max"))
    if order is not None and day is not None and order > day:
        yield Mistake(("risk", "order_notional_max"), "is above risk.day_notional_max, which no order passes", "lower it, or leave it out")


def breakers_fit(tree: Any) -> Iterator[Mistake]:
    """A breaker that is configured has what it cannot do without, once."""
    short, breakers = at(tree, "risk", "drawdown_halt"), at(tree, "risk", "breakers")
    long = at(breakers, "drawdown")
    if short is not None and (bool(long) if isinstance(long, Mapping) else at(long, "limit") is not None):
        what = "stands beside risk.breakers.drawdown, for which it is short"
        yield Mistake(("risk", "drawdown_halt"), what, "leave one of them out")
    for name, key in (("drawdown", "limit"), ("daily_loss", "limit"), ("peg", "symbol")):
        given = at(breakers, name)
        off = at(given, "action") == "none" or (name == "drawdown" and short is not None)
        if isinstance(given, Mapping) and given and at(given, key) is None and not off:
            yield Mistake(("risk", "breakers", name, key), "is missing, and without it this breaker is off", f"add it, or leave {name} out")
    pauses = [_length(at(breakers, "rejects", key)) or usual for key, usual in PAUSES]
    if pauses[0] > pauses[1]:
        yield Mistake(("risk", "breakers", "rejects", "pause"), "is longer than pause_max", "lower it, or raise pause_max")


def pegs_have_a_price(tree: Any) -> Iterator[Mistake]:
    """Only what is traded or watched has a price here."""
    peg, quote = at(tree, "risk", "breakers", "peg", "symbol"), at(tree, "universe", "quote")
    place = ("risk", "breakers", "peg", "symbol")
    if not isinstance(peg, str):
        return
    priced = [symbol for key in ("symbols", "watch") for symbol in at(tree, "universe", key) or () if isinstance(symbol, str)]
    if isinstance(quote, str) and quote not in peg.split("/"):
        yield Mistake(place, "says nothing of universe.quote", f"name a market of {quote} against a currency of the same worth")
    elif peg not in priced:
        yield Mistake(place, "has no price here", "add it to universe.watch")


def api_is_guarded(tree: Any) -> Iterator[Mistake]:
    """Whoever can reach the port can command the daemon, unless a token is asked for."""
    host = at(tree, "api", "host")
    if isinstance(host, str) and not is_loopback(host) and at(tree, "api", "token") is None:
        yield Mistake(
            ("api", "host"),
            "can be reached from other machines, and there is no api.token",
            f"add api.token as {REFERENCE}, or use 127.0.0.1",
        )


RULES: Final = (
    live_is_acknowledged,
    keys_are_given,
    paper_has_money,
    paper_fills_within_the_cap,
    styles_have_time,
    symbols_fit,
    symbols_are_of_the_market,
    leverage_is_of_swaps,
    countdowns_are_of_swaps,
    quotes_have_a_price,
    watched_are_not_traded,
    selections_fit,
    sectors_fit,
    strategies_fit,
    budgets_are_of_own_strategies,
    schedules_fit,
    schedules_have_one_mind,
    distances_are_acted_on,
    bands_let_trade,
    fee_tiers_grow,
    fees_are_reserved,
    capital_is_one_thing,
    approval_has_a_point,
    groups_are_of_the_universe,
    limits_can_bind,
    breakers_fit,
    pegs_have_a_price,
    api_is_guarded,
)
