"""Limits: what a wish for weights may be at most.

Rule: a limit only takes away. No weight grows or changes its sign, so cutting one symbol never raises another; ties go by symbol. Each
limit is one function of the wish, the bounds and the scene, and answers with a verdict and its stable code.

`ORDER` is the order of application: sanity, funding, groups (sector, named, correlated), single weights, positions, concentration, gross,
net, cash, liquidation, volatility, and the correlation watch last. No limit breaks one before it:

* what may not grow is not made larger by taking away more;
* bounds on groups, single weights, positions, concentration and gross shrink with every weight, so taking away more keeps them;
* net and cash scale one side only, and leave a net between 0 and what it was;
* volatility does not shrink with every weight (a hedge that goes makes it grow). So it comes after everything that cuts unevenly. It and
  the watch scale all alike, and what holds for w holds for s x w, 0 <= s <= 1.

A symbol that is kept (it cannot be traded at this slice) is not cut; its holding takes room from the others. Volatility counts such a
holding as if it moved with all the rest, which is the most that it can add. Where kept holdings alone pass a bound, the others get nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.core.allocation import portfolio_variance
from daemon.core.model import Bools, Floats
from daemon.core.risk import APPROVED, Approved, Finding, Limits, Reason, Reduced, Refused, Scene

Ints = NDArray[np.int64]

# Three equal shares of 1.0 add up to a little more than 1.0 in binary; that is not a breach worth a line in the log.
HAIR: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Cut:
    """One symbol's weight before and after a limit, and what the limit saw."""

    symbol: str
    wanted: float
    allowed: float
    reason: Reason
    finding: Finding


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one limit did to all weights (symbols,)."""

    reason: Reason
    before: Floats
    after: Floats
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Limited:
    """The weights that every limit allows, and how they came about: what was dropped before the first limit, then limit by limit."""

    symbols: tuple[str, ...]
    weights: dict[str, float]
    dropped: tuple[Cut, ...]
    steps: tuple[Step, ...]

    def cuts(self) -> Iterator[Cut]:
        """Every symbol's every cut, in the order of application."""
        yield from self.dropped
        for step in self.steps:
            concerned = {symbol: finding for finding in step.findings for symbol in finding.symbols}
            before, after = step.before.tolist(), step.after.tolist()
            for column in np.flatnonzero(step.before != step.after).tolist():  # NaN is unlike anything
                symbol = self.symbols[column]
                yield Cut(symbol, before[column], after[column], step.reason, concerned.get(symbol, step.findings[0]))


def apply(weights: Mapping[str, float], limits: Limits, scene: Scene) -> Limited:
    """The wish (weights by symbol) after every limit. A symbol outside the scene is dropped; one that is kept is left as it was wished."""
    wish = np.array([weights.get(symbol, 0.0) for symbol in scene.symbols], np.float64)
    now = np.where(scene.kept, 0.0, wish)
    steps: list[Step] = []
    for limit in ORDER:
        match limit(now, limits, scene):
            case Reduced(to, reason, findings):
                steps.append(Step(reason, now, to, findings))
            case Refused(reason, finding):
                steps.append(Step(reason, now, _without_growth(now, scene.held), (finding,)))
            case Approved():
                continue
        now = steps[-1].after
    allowed = dict(zip(scene.symbols, np.where(scene.kept & np.isfinite(wish), wish, now).tolist(), strict=True))
    strangers = sorted(weights.keys() - allowed.keys())
    dropped = tuple(Cut(s, weights[s], 0.0, Reason.UNKNOWN_SYMBOL, Finding(weights[s], 0.0)) for s in strangers)
    return Limited(scene.symbols, {s: w for s, w in allowed.items() if s in weights}, dropped, tuple(steps))


def _without_growth(weights: Floats, held: Floats) -> Floats:
    """The weights, each at most as far from 0 as what is held, and on the same side."""
    return np.where(weights * held > 0, np.sign(weights) * np.minimum(np.abs(weights), np.abs(held)), 0.0)


# --- the limits ------------------------------------------------------------------------------------------------------

Verdict = Approved | Reduced[Floats] | Refused
Limit = Callable[[Floats, Limits, Scene], Verdict]


def finite(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """A weight is a number; what is none is nobody's wish."""
    numbers = np.isfinite(weights)
    return APPROVED if numbers.all() else Reduced(np.where(numbers, weights, 0.0), Reason.NOT_FINITE, (Finding(inf, 0.0),))


def not_short_on_spot(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """On spot nothing can be sold that is not held."""
    lowest = float(weights.min(initial=0.0))
    if limits.short or lowest >= 0:
        return APPROVED
    return Reduced(np.maximum(weights, 0.0), Reason.SHORT_ON_SPOT, (Finding(-lowest, 0.0),))


def measurable(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """A risk that is bounded but cannot be measured may not grow. Comes early, since it cuts unevenly."""
    volatility = limits.volatility_max is not None and not _known(scene.moments.covariance).any()
    correlation = limits.correlated_group_max is not None and scene.moments.correlation is None
    return Refused(Reason.RISK_UNKNOWN, Finding(inf, 0.0)) if weights.any() and (volatility or correlation) else APPROVED


def within_funding(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """What would pay more than `funding_max` a year, as a share of its worth, is not made larger, nor turned to that side; exits pass.

    Comes early, since it cuts unevenly. A rate that is not known is not refused: nobody knows that it costs anything.
    """
    if limits.funding_max is None or scene.funding is None:
        return APPROVED
    costs = np.sign(weights) * scene.funding
    held_back = _without_growth(weights, scene.held)
    dear = (costs > limits.funding_max) & (held_back != weights)
    if not dear.any():
        return APPROVED
    findings = (Finding(float(costs[column]), limits.funding_max, (scene.symbols[column],)) for column in np.flatnonzero(dear).tolist())
    return Reduced(np.where(dear, held_back, weights), Reason.FUNDING_MAX, tuple(findings))


def within_sectors(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """The symbols of a sector hold at most `sector_max`; beyond it they are scaled alike."""
    if limits.sector_max is None:
        return APPROVED
    sectors = [(_columns(scene, symbols), limits.sector_max, name) for name, symbols in limits.sectors.items()]
    return _within(weights, scene, sectors, Reason.SECTOR_MAX)


def within_groups(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """The symbols of a named group hold at most what it says; beyond it they are scaled alike. Groups may overlap."""
    groups = [(_columns(scene, group.symbols), group.most, name) for name, group in limits.groups.items()]
    return _within(weights, scene, groups, Reason.GROUP_MAX)


def within_correlated_groups(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """What moves together is one position: a cluster holds at most `correlated_group_max`; beyond it its symbols are scaled alike."""
    if limits.correlated_group_max is None or scene.moments.correlation is None:
        return APPROVED
    positions = weights + scene.stays
    columns = np.flatnonzero(positions)
    ties = _ties(np.sign(positions[columns]), scene.moments.correlation, columns)
    groups = [(columns[members], limits.correlated_group_max, "") for members in clusters(_linked(ties, limits.correlation_limit))]
    verdict = _within(weights, scene, groups, Reason.CORRELATED_GROUP_MAX)
    return _with_correlations(verdict, scene.symbols, columns, ties)


def within_weight_max(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """No symbol holds more than `weight_max`, long or short. What is cut goes to nobody."""
    largest = float(np.abs(weights).max(initial=0.0))
    if largest <= limits.weight_max:
        return APPROVED
    return Reduced(np.clip(weights, -limits.weight_max, limits.weight_max), Reason.WEIGHT_MAX, (Finding(largest, limits.weight_max),))


def within_positions(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """At most `positions_max` symbols are held: the largest wishes, of equal ones the first by symbol."""
    positions = np.flatnonzero(weights)
    if limits.positions_max is None:
        return APPROVED
    kept = int(np.count_nonzero(scene.stays))
    room = max(limits.positions_max - kept, 0)
    if len(positions) <= room:
        return APPROVED
    smallest = positions[np.argsort(-np.abs(weights[positions]), kind="stable")][room:]
    fewer = weights.copy()
    fewer[smallest] = 0.0
    return Reduced(fewer, Reason.POSITIONS_MAX, (Finding(len(positions) + kept, limits.positions_max),))


def within_concentration(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """The squared weights sum to at most `concentration_max`: the largest come down to one level, the others stay."""
    if limits.concentration_max is None:
        return APPROVED
    theirs = float(scene.stays @ scene.stays)
    found, room = float(weights @ weights), max(limits.concentration_max - theirs, 0.0)
    if found <= room * (1 + HAIR):
        return APPROVED
    level = _level(np.abs(weights), room)
    return Reduced(np.clip(weights, -level, level), Reason.CONCENTRATION_MAX, (Finding(found + theirs, limits.concentration_max),))


def within_gross(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """All symbols together hold at most `gross`; beyond it each is scaled alike."""
    theirs = float(np.abs(scene.stays).sum())
    return _alike(weights, float(np.abs(weights).sum()), theirs, limits.gross, Reason.GROSS)


def within_net(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """Longs less shorts are at most `net_max`, either way; beyond it the side that is too large is scaled."""
    if limits.net_max is None:
        return APPROVED
    theirs = float(scene.stays.sum())
    found = float(weights.sum()) + theirs
    finding = Finding(abs(found), limits.net_max)
    longs = _one_side(weights, limits.net_max - theirs, Reason.NET_MAX, finding)
    if longs is not APPROVED:
        return longs
    mirrored = _one_side(-weights, limits.net_max + theirs, Reason.NET_MAX, finding)
    return Reduced(-mirrored.to, mirrored.reason, mirrored.findings) if isinstance(mirrored, Reduced) else mirrored


def within_cash(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """At least `cash_min` of the capital is not invested; below it longs are scaled."""
    if limits.cash_min is None:
        return APPROVED
    theirs = float(scene.stays.sum())
    finding = Finding(1.0 - float(weights.sum()) - theirs, limits.cash_min)
    return _one_side(weights, 1.0 - limits.cash_min - theirs, Reason.CASH_MIN, finding)


def within_volatility(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """The volatility that the covariance lets expect is at most `volatility_max` a year; beyond it all is scaled alike."""
    if limits.volatility_max is None or scene.moments.covariance is None or not _known(scene.moments.covariance).any():
        return APPROVED
    theirs = volatility(scene.stays, scene.moments.covariance)
    return _alike(weights, volatility(weights, scene.moments.covariance), theirs, limits.volatility_max, Reason.VOLATILITY_MAX)


def calm(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """While the correlation watch says high, everything is held at `correlation_scale` of what it would be.

    A factor and no bound: it is for a wish, and would scale its own answer once more.
    """
    if not scene.high or limits.correlation_scale >= 1 or not weights.any():
        return APPROVED
    found = float(np.abs(weights).sum())
    finding = Finding(found, found * limits.correlation_scale)
    return Reduced(weights * limits.correlation_scale, Reason.CORRELATION_HIGH, (finding,))


def far_from_liquidation(weights: Floats, limits: Limits, scene: Scene) -> Verdict:
    """The price of each swap may move by `liquidation_min` against it before it is liquidated; beyond that all are scaled alike.

    Of a collateral of 1, what must be kept of all positions and what one of them loses by then are no more than 1.
    """
    least, rates = limits.liquidation_min, scene.rates
    if least is None or rates is None or not rates.any():
        return APPROVED
    sizes, theirs, loses = np.abs(weights), np.abs(scene.stays), least * (1.0 + rates)
    kept, asked = float((rates * theirs).sum()), float((rates * sizes).sum())
    if kept + asked + float((loses * (sizes + theirs)).max(initial=0.0)) <= 1.0 + HAIR:
        return APPROVED
    factor = float(((1.0 - kept - loses * theirs) / np.maximum(asked + loses * sizes, HAIR)).min())
    distance = (1.0 - kept - asked) / float(((1.0 + rates) * (sizes + theirs)).max())
    return Reduced(weights * min(max(factor, 0.0), 1.0), Reason.LIQUIDATION_MIN, (Finding(distance, least),))


ORDER: Final[tuple[Limit, ...]] = (
    finite,
    not_short_on_spot,
    measurable,
    within_funding,
    within_sectors,
    within_groups,
    within_correlated_groups,
    within_weight_max,
    within_positions,
    within_concentration,
    within_gross,
    within_net,
    within_cash,
    far_from_liquidation,
    within_volatility,
    calm,
)


# --- what they are made of -------------------------------------------------------------------------------------------


def volatility(weights: Floats, covariance: Floats) -> float:
    """The most that the portfolio's standard deviation can be, in the unit of the covariance, which knows one symbol at least.

    A symbol of which nothing is known counts as the most volatile of all, moving with all the others: new listings are no shelter.
    """
    known = _known(covariance)
    if known.all():
        return sqrt(portfolio_variance(weights, covariance))
    inside = covariance[np.ix_(known, known)]
    worst = sqrt(float(np.diag(inside).max()))
    return sqrt(portfolio_variance(weights[known], inside)) + worst * float(np.abs(weights[~known]).sum())


def clusters(linked: Bools) -> list[Ints]:
    """The sets of two and more columns that hang together by links (columns, columns), each sorted, in the order of their first."""
    count = len(linked)
    # A row as one integer: uniting two takes one operation, whatever the shape of the graph.
    rows = [int.from_bytes(row.tobytes(), "little") for row in np.packbits(linked, axis=1, bitorder="little")]
    left, found = (1 << count) - 1, []
    while left:
        members, new = 0, left & -left
        while new:
            members |= new
            reached = 0
            for column in _bits(new):
                reached |= rows[column]
            new = reached & ~members
        left &= ~members
        if members & (members - 1):
            found.append(np.array(list(_bits(members)), np.int64))
    return found


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _ties(signs: Floats, correlation: Floats, columns: Ints) -> Floats:
    """How far two positions gain and lose together: their correlation, turned around where one is long and the other short."""
    ties = correlation if len(columns) == len(correlation) else correlation[np.ix_(columns, columns)]
    return ties if (signs > 0).all() else ties * np.outer(signs, signs)


def _linked(ties: Floats, limit: float) -> Bools:
    """Who is one position with whom: those tied above the limit, and all of whom nothing is known, with one another."""
    linked: Bools = ties > limit
    unknown = np.isnan(np.diag(ties))
    if unknown.any():
        linked |= np.outer(unknown, unknown)
    return linked


def _with_correlations(verdict: Verdict, symbols: tuple[str, ...], columns: Ints, ties: Floats) -> Verdict:
    """The verdict on clusters, each finding with the correlation that holds it together."""
    if not isinstance(verdict, Reduced):
        return verdict
    place = {symbols[column]: row for row, column in enumerate(columns.tolist())}

    def told(finding: Finding) -> Finding:
        rows = [place[symbol] for symbol in finding.symbols]
        among = ties[np.ix_(rows, rows)]
        np.fill_diagonal(among, -inf)
        weakest = float(np.fmax.reduce(among, axis=1).min())
        return replace(finding, correlation=weakest if isfinite(weakest) else None)

    return Reduced(verdict.to, verdict.reason, tuple(told(finding) for finding in verdict.findings))


def _within(weights: Floats, scene: Scene, groups: Iterable[tuple[Ints, float, str]], reason: Reason) -> Verdict:
    """Each group (its columns, its bound, its name) scaled until its sizes keep the bound, one after the other."""
    now, stays = weights, np.abs(scene.stays)
    findings: list[Finding] = []
    for columns, most, name in groups:
        theirs = float(stays[columns].sum())
        size, room = float(np.abs(now[columns]).sum()), max(most - theirs, 0.0)
        if size > room * (1 + HAIR):
            now = now.copy()
            now[columns] *= room / size
            whom = tuple(scene.symbols[column] for column in columns.tolist())
            findings.append(Finding(size + theirs, most, whom, name))
    return Reduced(now, reason, tuple(findings)) if findings else APPROVED


def _alike(weights: Floats, found: float, theirs: float, most: float, reason: Reason) -> Verdict:
    """All weights scaled until what was found of them, beside what is kept, is no more than the most."""
    room = max(most - theirs, 0.0)
    return APPROVED if found <= room * (1 + HAIR) else Reduced(weights * (room / found), reason, (Finding(found + theirs, most),))


def _one_side(weights: Floats, most: float, reason: Reason, finding: Finding) -> Verdict:
    """Weights above 0 scaled until the sum of all is `most`, at least 0."""
    longs, shorts = float(weights[weights > 0].sum()), float(-weights[weights < 0].sum())
    room = max(most, 0.0) + shorts
    if longs <= room + HAIR * max(longs, 1.0):
        return APPROVED
    return Reduced(np.where(weights > 0, weights * (room / longs), weights), reason, (finding,))


def _level(sizes: Floats, most: float) -> float:
    """The level to which the largest must come down so that the squares sum to `most`: sum(min(size, level)^2) = most, below their sum."""
    ordered = np.sort(sizes)
    squares, above = ordered**2, np.arange(len(ordered), 0, -1)
    below = np.cumsum(squares) - squares
    first = int(np.searchsorted(below + above * squares, most))  # the first that is above the level
    return sqrt(max(most - float(below[first]), 0.0) / float(above[first]))


def _columns(scene: Scene, symbols: Iterable[str]) -> Ints:
    """Where these symbols are; those that are neither wished for nor held are nowhere."""
    return np.array(sorted(scene.place[symbol] for symbol in symbols if symbol in scene.place), np.int64)


def _known(covariance: Floats | None) -> Bools:
    """Which symbols something is known of."""
    return np.zeros(0, np.bool_) if covariance is None else np.isfinite(np.diag(covariance))
