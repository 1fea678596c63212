"""The limits on weights: they only take away, say why, and do it in an order in which none undoes another."""

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, pairwise
from math import inf, isfinite, nan, sqrt

import numpy as np
import pytest

from daemon.core.model import Floats
from daemon.core.risk import Group, Limits, Moments, Reason, Scene
from daemon.core.risk_weights import ORDER, Cut, Limited, apply

# `make limits` tries 20,000; a slice of them runs with the suite.
CASES = int(os.environ.get("REBALANCED_CASES", "500"))
SEED = int(os.environ.get("REBALANCED_SEED", "1"))


# --- any wish, any limits, any scene ---------------------------------------------------------------------------------

Case = tuple[dict[str, float], Limits, Scene]


def random_scene(rng: np.random.Generator, count: int) -> Scene:
    """Symbols that hang together by a common factor, some of them held, kept or without a history."""
    moves = rng.normal(0, 0.02, (30, count)) + rng.choice([0.0, 1.0]) * rng.normal(0, 0.03, (30, 1)) * rng.choice([-1, 1, 1], count)
    unknown = rng.random(count) < rng.choice([0.0, 0.0, 0.3, 1.0])
    moves[:, unknown] = nan
    covariance: Floats = moves.T @ moves / 30 * 8760 / 24
    deviation = np.sqrt(np.diag(covariance))
    nothing = rng.random() < 0.1
    return Scene(
        symbols=tuple(f"S{number:02d}" for number in range(count)),
        held=np.round(rng.normal(0, 0.3, count), 2) * (rng.random(count) < 0.5),
        kept=rng.random(count) < rng.choice([0.0, 0.0, 0.3]),
        moments=Moments() if nothing else Moments(covariance, covariance / np.outer(deviation, deviation)),
        high=bool(rng.random() < 0.2),
        funding=rng.normal(0, 0.5, count) if rng.random() < 0.5 else None,
    )


def random_limits(rng: np.random.Generator, symbols: tuple[str, ...]) -> Limits:
    """Each limit is there or not, from 0 to never reached."""

    def some(*values: float) -> float | None:
        return float(rng.choice([0.0, *values, rng.random()])) if rng.random() < 0.4 else None

    def any_of() -> tuple[str, ...]:
        return tuple(symbol for symbol in (*symbols, "S99") if rng.random() < 0.4)

    positions = some(1.0, 2.0, 5.0)
    return Limits(
        short=bool(rng.random() < 0.7),
        gross=some(1.0, 3.0) or 1.0,
        net_max=some(0.1, 1.0),
        cash_min=some(0.1, 1.0),
        weight_max=some(0.1, 0.5) or 1.0,
        sector_max=some(0.2, 0.5),
        sectors={"one": symbols[::2], "two": symbols[1::2]},
        groups={name: Group(any_of(), float(rng.random())) for name in ("x", "y") if rng.random() < 0.4},
        correlated_group_max=some(0.2, 0.5),
        correlation_limit=float(rng.uniform(0.1, 0.99)),
        correlation_scale=float(rng.choice([0.0, 0.5, 1.0])),
        positions_max=None if positions is None else int(positions),
        concentration_max=some(0.05, 0.3),
        volatility_max=some(0.1, 0.5, 2.0),
        funding_max=some(0.1, 0.5),
    )


def random_case(rng: np.random.Generator) -> Case:
    """Wishes with ties, zeros, shorts, strangers and what is no number."""
    scene = random_scene(rng, int(rng.integers(1, 12)))
    wished = rng.normal(rng.choice([0.0, 0.3]), 10.0 ** rng.integers(-2, 2), len(scene.symbols))
    wished = np.round(wished, int(rng.choice([1, 2, 12]))) * (rng.random(len(wished)) < 0.8)
    wish = dict(zip(scene.symbols, wished.tolist(), strict=True))
    if rng.random() < 0.1:
        wish[scene.symbols[0]] = float(rng.choice([nan, inf, -inf]))
    if rng.random() < 0.1:
        wish["STRANGER"] = 0.5
    return wish, random_limits(rng, scene.symbols), scene


def volatility(weights: Floats, scene: Scene) -> float:
    """Longhand: what is known by the covariance; each unknown one as the worst, in step with everything."""
    assert scene.moments.covariance is not None
    known = [i for i in range(len(weights)) if scene.moments.covariance[i, i] == scene.moments.covariance[i, i]]
    variance = sum(weights[i] * weights[j] * scene.moments.covariance[i, j] for i in known for j in known)
    worst: float = max(sqrt(scene.moments.covariance[i, i]) for i in known)
    return sqrt(max(float(variance), 0.0)) + worst * sum(abs(float(w)) for i, w in enumerate(weights) if i not in known)


def islands(weights: Floats, scene: Scene, limit: float) -> list[set[int]]:
    """Longhand: sets of positions joined by links, made by joining two at a time until nothing changes."""
    assert scene.moments.correlation is not None
    sets = [{i} for i in np.flatnonzero(weights).tolist()]

    def linked(i: int, j: int) -> bool:
        assert scene.moments.correlation is not None
        if (
            scene.moments.correlation[i, i] != scene.moments.correlation[i, i]
            and scene.moments.correlation[j, j] != scene.moments.correlation[j, j]
        ):
            return True
        return bool(scene.moments.correlation[i, j] * np.sign(weights[i] * weights[j]) > limit)

    while True:
        for one, other in combinations(sets, 2):
            if any(linked(i, j) for i in one for j in other):
                sets = [each for each in sets if each not in (one, other)] + [one | other]
                break
        else:
            return [each for each in sets if len(each) > 1]


def bounds(weights: Floats, limits: Limits, scene: Scene) -> dict[Reason, list[tuple[float, float]]]:
    """What each limit measures and how much it allows, longhand; a list, since a limit may judge many groups."""
    column = {symbol: i for i, symbol in enumerate(scene.symbols)}
    sizes = np.abs(weights)

    def of(symbols: tuple[str, ...]) -> float:
        return float(sum(sizes[column[s]] for s in symbols if s in column))

    found = {
        Reason.WEIGHT_MAX: [(float(size), limits.weight_max) for size in sizes[~scene.kept]],
        Reason.GROSS: [(float(sizes.sum()), limits.gross)],
        Reason.GROUP_MAX: [(of(group.symbols), group.most) for group in limits.groups.values()],
    }
    if limits.net_max is not None:
        found[Reason.NET_MAX] = [(abs(float(weights.sum())), limits.net_max)]
    if limits.cash_min is not None:
        found[Reason.CASH_MIN] = [(float(weights.sum()), 1 - limits.cash_min)]
    if limits.sector_max is not None:
        found[Reason.SECTOR_MAX] = [(of(symbols), limits.sector_max) for symbols in limits.sectors.values()]
    if limits.positions_max is not None:
        found[Reason.POSITIONS_MAX] = [(float(np.count_nonzero(weights)), limits.positions_max)]
    if limits.concentration_max is not None:
        found[Reason.CONCENTRATION_MAX] = [(float((sizes**2).sum()), limits.concentration_max)]
    if limits.volatility_max is not None and scene.moments.covariance is not None and np.isfinite(np.diag(scene.moments.covariance)).any():
        found[Reason.VOLATILITY_MAX] = [(volatility(weights, scene), limits.volatility_max)]
    if limits.correlated_group_max is not None and scene.moments.correlation is not None:
        groups = islands(weights, scene, limits.correlation_limit)
        found[Reason.CORRELATED_GROUP_MAX] = [(float(sizes[list(group)].sum()), limits.correlated_group_max) for group in groups]
    return found


def as_array(weights: Mapping[str, float], scene: Scene) -> Floats:
    """The account that these weights make: what is kept stays."""
    wished = np.array([weights.get(symbol, 0.0) for symbol in scene.symbols])
    return np.where(scene.kept, scene.held, wished)


def test_every_limit_holds_at_the_end() -> None:
    """No limit undoes what another has done: whatever the wish, each bound holds for the account that comes out, kept holdings included."""
    rng = np.random.default_rng(SEED)
    for case in range(CASES):
        wish, limits, scene = random_case(rng)
        allowed = as_array(apply(wish, limits, scene).weights, scene)
        assert limits.short or (allowed[~scene.kept] >= 0).all()
        alone = np.where(scene.kept, scene.held, 0.0)
        excuse = bounds(alone, limits, scene)
        for reason, judged in bounds(allowed, limits, scene).items():
            # What is kept may be too much by itself; then it is all there is.
            kept = max((found for found, _ in excuse[reason]), default=0.0) if scene.kept.any() else 0.0
            for found, most in judged:
                assert found <= max(most, kept) + 1e-9, f"case {case} of seed {SEED}: {reason} is {found}, at most {most}"


def test_limits_only_take_away_and_say_so() -> None:
    """No weight grows or changes its side, and exactly those that shrink have cuts, which lead from the wish to what is allowed."""
    rng = np.random.default_rng(SEED + 1)
    for case in range(CASES):
        wish, limits, scene = random_case(rng)
        limited = apply(wish, limits, scene)
        cuts = list(limited.cuts())
        where = f"case {case} of seed {SEED + 1}"
        assert limited.weights.keys() == wish.keys() - {"STRANGER"}, where
        for symbol, wanted in wish.items():
            own = [cut for cut in cuts if cut.symbol == symbol]
            allowed = limited.weights.get(symbol, 0.0)
            if symbol in scene.place and scene.kept[scene.place[symbol]]:
                assert own == [], where
                assert allowed == (wanted if isfinite(wanted) else 0.0), where
                continue
            shrunk = symbol not in limited.weights or allowed != wanted
            assert bool(own) == shrunk, where
            assert min(wanted, 0.0) <= allowed <= max(wanted, 0.0) or wanted != wanted, where
            if own:
                assert (own[0].wanted, own[-1].allowed) == (wanted, allowed) or wanted != wanted, where
                assert all(one.allowed == other.wanted for one, other in pairwise(own)), where


def test_limits_are_applied_once() -> None:
    """What has passed the limits passes them again unchanged, while the watch is calm; its factor is for wishes."""
    rng = np.random.default_rng(SEED + 2)
    for _ in range(CASES):
        wish, limits, scene = random_case(rng)
        scene = replace(scene, high=False)
        once = apply(wish, limits, scene).weights
        again = apply(once, limits, scene)
        assert [cut for cut in again.cuts() if abs(cut.wanted - cut.allowed) > 1e-12 * abs(cut.wanted)] == []


def test_limits_do_not_depend_on_the_order_of_the_wish() -> None:
    """The same wish in another order gives the same weights and the same cuts, to the last bit."""
    rng = np.random.default_rng(SEED + 3)
    for _ in range(CASES // 10):
        wish, limits, scene = random_case(rng)
        turned = apply(dict(reversed(wish.items())), limits, scene)
        straight = apply(wish, limits, scene)
        assert turned.weights == straight.weights
        assert repr(list(turned.cuts())) == repr(list(straight.cuts()))


def test_a_calm_watch_gives_back_what_a_high_one_takes() -> None:
    """While the watch says high, every weight is the configured share of what it would be, and nothing else is different."""
    rng = np.random.default_rng(SEED + 4)
    for _ in range(CASES // 10):
        wish, limits, scene = random_case(rng)
        limits = replace(limits, correlation_scale=0.5)
        calm = apply(wish, limits, replace(scene, high=False, kept=scene.kept & False)).weights
        high = apply(wish, limits, replace(scene, high=True, kept=scene.kept & False)).weights
        assert high == {symbol: weight / 2 for symbol, weight in calm.items()}


# --- one wish, one limit, one code -----------------------------------------------------------------------------------


def scene_of(*symbols: str, held: Mapping[str, float] | None = None, kept: str = "", **more: object) -> Scene:
    """A scene in which only what a test names is anything."""
    present = held or {}
    return Scene(
        symbols=symbols,
        held=np.array([present.get(symbol, 0.0) for symbol in symbols]),
        kept=np.array([symbol in kept for symbol in symbols], np.bool_),
        **more,  # type: ignore[arg-type]
    )


ABC = scene_of("A", "B", "C")
# A and B move together; C goes its own way, the other way round.
TIED = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, -0.7], [-0.9, -0.7, 1.0]])
KNOWN = scene_of("A", "B", "C", moments=Moments(TIED * 0.25, TIED))

ONE_LIMIT_EACH = [
    # just allowed, too much, what is left of it, the limits, the scene, the code
    ({"A": 0.3}, {"A": 0.31}, {"A": 0.3}, Limits(weight_max=0.3), ABC, Reason.WEIGHT_MAX),
    ({"A": 0.5, "B": 0.5}, {"A": 0.6, "B": 0.6}, {"A": 0.5, "B": 0.5}, Limits(), ABC, Reason.GROSS),
    ({"A": 0.0}, {"A": -0.1}, {"A": 0.0}, Limits(), ABC, Reason.SHORT_ON_SPOT),
    ({"A": 0.1}, {"A": nan}, {"A": 0.0}, Limits(), ABC, Reason.NOT_FINITE),
    (
        {"A": 0.2, "B": 0.2, "C": 0.5},
        {"A": 0.6, "B": 0.2, "C": 0.1},
        {"A": 0.3, "B": 0.1, "C": 0.1},
        Limits(sector_max=0.4, sectors={"s": ("A", "B"), "t": ("Z",)}),
        ABC,
        Reason.SECTOR_MAX,
    ),
    (
        {"A": 0.2, "B": 0.5, "C": -0.2},
        {"A": 0.2, "B": 0.5, "C": -0.6},
        {"A": 0.1, "B": 0.5, "C": -0.3},
        Limits(short=True, gross=2, groups={"g": Group(("A", "C", "Z"), 0.4)}),
        ABC,
        Reason.GROUP_MAX,
    ),
    (
        {"A": 0.2, "B": 0.2, "C": 0.5},
        {"A": 0.4, "B": 0.4, "C": 0.1},
        {"A": 0.2, "B": 0.2, "C": 0.1},
        Limits(correlated_group_max=0.4, correlation_limit=0.8),
        KNOWN,
        Reason.CORRELATED_GROUP_MAX,
    ),
    (
        {"A": 0.4, "B": -0.4},  # long the one and short the other is no bet on both
        {"A": 0.4, "C": -0.4},  # but short what moves the other way is
        {"A": 0.2, "C": -0.2},
        Limits(short=True, correlated_group_max=0.4, correlation_limit=0.8),
        KNOWN,
        Reason.CORRELATED_GROUP_MAX,
    ),
    (
        {"B": 0.3, "C": 0.3},
        {"A": 0.1, "B": 0.3, "C": 0.1},
        {"A": 0.1, "B": 0.3, "C": 0.0},
        Limits(positions_max=2),
        ABC,
        Reason.POSITIONS_MAX,
    ),
    (
        {"A": 0.5, "B": 0.3},
        {"A": 0.6, "B": 0.3, "C": 0.0},
        {"A": 0.5, "B": 0.3, "C": 0.0},
        Limits(concentration_max=0.34),
        ABC,
        Reason.CONCENTRATION_MAX,
    ),
    (
        {"A": 0.5, "B": -0.3},
        {"A": 0.4, "B": -0.2, "C": 0.4},
        {"A": 0.2, "B": -0.2, "C": 0.2},
        Limits(short=True, net_max=0.2),
        ABC,
        Reason.NET_MAX,
    ),
    (
        {"A": 0.3, "B": -0.5},
        {"A": 0.1, "B": -0.6},
        {"A": 0.1, "B": -0.3},
        Limits(short=True, net_max=0.2),
        ABC,
        Reason.NET_MAX,
    ),
    ({"A": 0.5, "B": 0.4}, {"A": 0.5, "B": 0.5}, {"A": 0.45, "B": 0.45}, Limits(cash_min=0.1), ABC, Reason.CASH_MIN),
    (
        {"A": 4.5, "B": -1.0},
        {"A": 9.0, "B": -2.0},
        {"A": 4.5, "B": -1.0},
        Limits(short=True, gross=20.0, weight_max=20.0, liquidation_min=0.2),
        replace(ABC, rates=np.array([0.0, 0.1, 0.0])),
        Reason.LIQUIDATION_MIN,
    ),
    (
        {"A": 0.1, "B": 0.3, "C": -0.3},
        {"A": 0.3, "B": 0.3, "C": -0.3},
        {"A": 0.2, "B": 0.3, "C": -0.3},
        Limits(short=True, funding_max=0.4),
        replace(scene_of("A", "B", "C", held={"A": 0.2}), funding=np.array([0.5, 0.4, 3.0])),
        Reason.FUNDING_MAX,
    ),
    ({"A": 0.4}, {"A": 0.8}, {"A": 0.4}, Limits(volatility_max=0.2), KNOWN, Reason.VOLATILITY_MAX),
    ({"A": 0.0}, {"A": 0.8}, {"A": 0.4}, Limits(correlation_scale=0.5), replace(ABC, high=True), Reason.CORRELATION_HIGH),
    (
        {"A": 0.1, "B": 0.0},
        {"A": 0.3, "B": 0.3, "C": -0.3},
        {"A": 0.1, "B": 0.0, "C": 0.0},
        Limits(short=True, volatility_max=0.2),
        scene_of("A", "B", "C", held={"A": 0.1, "C": 0.1}),
        Reason.RISK_UNKNOWN,
    ),
]


def reasons(limited: Limited) -> set[Reason]:
    """The codes of all cuts."""
    return {cut.reason for cut in limited.cuts()}


@pytest.mark.parametrize(("enough", "too_much", "left", "limits", "scene", "reason"), ONE_LIMIT_EACH)
def test_each_limit_has_its_code(
    enough: dict[str, float], too_much: dict[str, float], left: dict[str, float], limits: Limits, scene: Scene, reason: Reason
) -> None:
    """Each limit cuts what is too much to exactly what is allowed, under its own code, and does not fire one step below."""
    below = apply(enough, limits, scene)
    assert (below.weights, reasons(below)) == (enough, set())
    above = apply(too_much, limits, scene)
    assert above.weights == pytest.approx(left, abs=1e-12)
    assert reasons(above) == {reason}


def test_no_code_is_untried() -> None:
    """Every code of weights is tried above or below."""
    tried = {row[-1] for row in ONE_LIMIT_EACH} | {Reason.UNKNOWN_SYMBOL}
    assert tried == set(list(Reason)[: list(Reason).index(Reason.CORRELATION_HIGH) + 1])
    assert len(ORDER) == len(tried) - 1


def test_a_stranger_is_dropped() -> None:
    """A symbol that the account does not trade is not bought under any name."""
    limited = apply({"A": 0.5, "X": 0.5}, Limits(), ABC)
    assert limited.weights == {"A": 0.5}
    assert [(cut.symbol, cut.wanted, cut.allowed, cut.reason) for cut in limited.cuts()] == [("X", 0.5, 0.0, Reason.UNKNOWN_SYMBOL)]


def cut_of(symbol: str, limited: Limited) -> Cut:
    """The only cut of a symbol."""
    (cut,) = [cut for cut in limited.cuts() if cut.symbol == symbol]
    return cut


def test_a_cut_tells_what_the_limit_saw() -> None:
    """A sector is named, a cluster says which symbols and how closely they move, a bound says what was found."""
    sector = cut_of("A", apply({"A": 0.6, "B": 0.2}, Limits(sector_max=0.4, sectors={"s": ("A", "B")}), ABC)).finding
    assert (sector.group, sector.symbols, sector.most) == ("s", ("A", "B"), 0.4)
    assert sector.found == pytest.approx(0.8)
    cluster = cut_of("B", apply({"A": 0.4, "B": 0.4}, Limits(correlated_group_max=0.4), KNOWN)).finding
    assert (cluster.symbols, cluster.correlation) == (("A", "B"), 0.9)
    gross = cut_of("C", apply({"A": 0.8, "C": 0.8}, Limits(), ABC)).finding
    assert (gross.found, gross.most, gross.symbols) == (1.6, 1.0, ())


def test_a_chain_of_correlations_is_one_cluster() -> None:
    """Who is tied to one of the cluster is in it, whatever it has to do with the others."""
    chain = np.eye(4)
    for i, j in ((0, 1), (1, 3)):
        chain[i, j] = chain[j, i] = 0.85
    scene = scene_of("A", "B", "C", "D", moments=Moments(correlation=chain))
    limited = apply(dict.fromkeys("ABCD", 0.25), Limits(correlated_group_max=0.3), scene)
    assert limited.weights == pytest.approx({"A": 0.1, "B": 0.1, "C": 0.25, "D": 0.1})


def test_those_without_a_history_are_one_position() -> None:
    """Two new listings of which nothing is known are capped together, and leave those alone of which something is."""
    unknown = TIED.copy()
    unknown[:2] = unknown[:, :2] = nan
    limited = apply(dict.fromkeys("ABC", 0.3), Limits(correlated_group_max=0.4), replace(KNOWN, moments=Moments(correlation=unknown)))
    assert limited.weights == pytest.approx({"A": 0.2, "B": 0.2, "C": 0.3})
    assert cut_of("A", limited).finding.correlation is None


def test_a_new_listing_counts_as_the_worst() -> None:
    """For the volatility ceiling, a symbol without a history moves like the wildest, together with everything."""
    unknown = TIED * 0.25
    unknown[0] = unknown[:, 0] = nan
    limited = apply({"A": 0.5}, Limits(volatility_max=0.2), replace(KNOWN, moments=Moments(unknown)))
    assert limited.weights == pytest.approx({"A": 0.4})


def test_kept_holdings_take_room() -> None:
    """What cannot be traded now counts in every bound; the others have what is left, and it is left alone."""
    scene = scene_of("A", "B", "C", held={"A": 0.7}, kept="A")
    assert apply({"A": 0.1, "B": 0.6}, Limits(), scene).weights == pytest.approx({"A": 0.1, "B": 0.3})
    assert apply({"B": 0.6, "C": 0.5}, Limits(positions_max=1), scene).weights == {"B": 0.0, "C": 0.0}


def test_equal_wishes_go_by_symbol() -> None:
    """Of equal weights, the first by symbol are kept, however the wish is ordered."""
    symbols = [f"S{number:02d}" for number in range(40)]
    limited = apply(dict.fromkeys(reversed(symbols), 0.02), Limits(positions_max=20), scene_of(*symbols))
    assert [symbol for symbol, weight in limited.weights.items() if weight] == symbols[:20]


def test_volatility_holds_after_a_hedge_has_gone() -> None:
    """The net limit may take a hedge away and so raise the volatility; the ceiling holds all the same."""
    tied = np.array([[1.0, 0.9], [0.9, 1.0]]) * np.outer([0.1, 1.0], [0.1, 1.0])
    scene, limits = scene_of("A", "B", moments=Moments(tied)), Limits(short=True, gross=3, net_max=0.0, volatility_max=0.44)
    wish = {"A": 1.0, "B": -0.5}
    assert volatility(as_array(wish, scene), scene) < 0.44
    limited = apply(wish, limits, scene)
    assert volatility(as_array(limited.weights, scene), scene) == pytest.approx(0.44)
    assert reasons(limited) == {Reason.NET_MAX, Reason.VOLATILITY_MAX}


def test_a_scene_needs_arrays_of_its_size() -> None:
    """Weights are never read from another symbol's column."""
    with pytest.raises(ValueError, match="3 symbols"):
        replace(ABC, held=np.zeros(2))
