"""Page of a sweep, and what a terminal says of it: figures first, doubts beside them.

Rule: every number is one of the table or of the findings, and is told as it is there.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np

from daemon.core.model import from_epoch_ms
from daemon.research.report.making import count, ratio, remark, share, table, told
from daemon.research.report.page import listed, page, plot, save
from daemon.research.sweep.figures import SHARES, figures, score_name, unit
from daemon.research.sweep.findings import Luck, Sweep, shown

NAME: Final = "sweep.html"
ROWS: Final = 25  # of the table on the page
# Below this probability that there is any skill, luck is not ruled out: one chance in twenty, as usual.
SURE: Final = 0.95
# From here on, the choice of one half is worse than the middle of the other more often than not.
OVERFITTED: Final = 0.5
FAILURES_TOLD: Final = 3

Doubt = tuple[str, str]  # a stable code, and a sentence


def write(sweep: Sweep) -> Path:
    """Make the page of a sweep, in its folder. Raises DataError: it cannot be written."""
    path = sweep.folder / NAME
    save(path, made(sweep))
    return path


def made(sweep: Sweep) -> str:
    """The page of a sweep."""
    drawn = list(figures(sweep))
    body = "\n".join([_tiles(sweep), _remarks(sweep), *map(plot, drawn), _folds(sweep) if sweep.walked else _ranked(sweep)])
    title = f"{'Walk forward' if sweep.walked else 'Sweep'} {sweep.asked['settings']['name']}"
    return page(title, _lead(sweep), body, {"figures": {figure.key: figure.plotted for figure in drawn}})


def in_words(sweep: Sweep) -> Iterator[str]:
    """What a person wants to know first, a line each."""
    yield _lead(sweep)
    yield from (f"{label}: {value}" for _, label, value, _ in _figures(sweep))
    if sweep.best is not None:
        yield f"best: {sweep.told(sweep.best)} (run {sweep.table['run'][sweep.best]})"
    yield from (f"fold {step.fold + 1} chose {sweep.told(step.test)}" for step in sweep.steps)
    yield from (f"warning: {text} ({code})" for code, text in doubts(sweep))


def in_numbers(sweep: Sweep) -> dict[str, Any]:
    """The same for machines: each headline by its key, what was best or chosen, and the warnings."""

    def values(row: int) -> dict[str, Any]:
        return {"run": sweep.table["run"][row], **dict(zip(sweep.paths, sweep.values(row), strict=True))}

    return {
        **{key: value for key, _, _, value in _figures(sweep)},
        "best_run": None if sweep.best is None else values(sweep.best),
        "chosen": [{"fold": step.fold, **values(step.test)} for step in sweep.steps],
        "warnings": [{"code": code, "text": text} for code, text in doubts(sweep)],
    }


def _lead(sweep: Sweep) -> str:
    settings, asked = sweep.asked["settings"], sweep.asked
    known = [row for row in range(len(sweep)) if sweep.table["start"][row] is not None]
    period = ""
    if known:
        begin, end = min(sweep.table["start"][row] for row in known), max(sweep.table["end"][row] for row in known)
        period = f"{from_epoch_ms(begin):%Y-%m-%d} to {from_epoch_ms(end):%Y-%m-%d}, "
    how = f"{len(sweep.judged):,} combinations" + (f" drawn with seed {asked['seed']}" if asked["random"] is not None else "")
    strategies = ", ".join(f"{each['name']} ({each['use']})" for each in settings["strategies"])
    return f"{period}bars of {settings['timeframe']}, {how}, judged by {score_name(sweep)}; {strategies}"


def _score(sweep: Sweep, value: float) -> str:
    return told(value, share if sweep.by in SHARES else ratio)


def _figures(sweep: Sweep) -> Iterator[tuple[str, str, str, float]]:
    """The headlines: a key, a label, how it is told, and the number itself."""
    yield "runs", "runs", count(len(sweep)), len(sweep)
    yield "failed", "failed runs", count(len(sweep.failed)), len(sweep.failed)
    if sweep.walked:
        yield from _outside(sweep)
    else:
        best = float("nan") if sweep.best is None else float(sweep.objective[sweep.best])
        yield "best", f"best {unit(sweep)}", _score(sweep, best), best
    known = sweep.scores[np.isfinite(sweep.scores)]
    middle = float(np.median(known)) if len(known) else float("nan")
    yield "median", f"median {score_name(sweep)}", _score(sweep, middle), middle
    if sweep.luck is not None:
        yield from _lucky(sweep.luck)
    yield "overfitting", "probability of overfitting", told(sweep.overfitted, share), sweep.overfitted


def _lucky(luck: Luck) -> Iterator[tuple[str, str, str, float]]:
    yield "trials", "different trials", count(luck.trials), luck.trials
    yield "independent", "independent trials", ratio(luck.independent), luck.independent
    yield "expected", "best Sharpe ratio by luck", ratio(luck.expected), luck.expected
    yield "deflated", "deflated Sharpe ratio", told(luck.deflated, share), luck.deflated
    yield "deflated_independent", "deflated, independent trials", told(luck.deflated_independent, share), luck.deflated_independent


def _outside(sweep: Sweep) -> Iterator[tuple[str, str, str, float]]:
    grown, sharpe, above = sweep.outside
    yield "folds", "folds", count(len(sweep.steps)), len(sweep.steps)
    yield "outside_return", "out of sample: return", told(grown, share), grown
    yield "outside_sharpe", "out of sample: Sharpe ratio", told(sharpe, ratio), sharpe
    yield "outside_above", "out of sample: probability of a Sharpe ratio above 0", told(above, share), above
    for key, label, part in (("chosen_train", "in sample", "train"), ("chosen_test", "out of sample", "test")):
        values = [sweep.objective[getattr(step, part)] for step in sweep.steps]
        mean = float(np.mean(values)) if values else float("nan")
        yield key, f"{label}: mean {unit(sweep)} of what was chosen", _score(sweep, mean), mean


def doubts(sweep: Sweep) -> Iterator[Doubt]:
    """Where the result should not be believed as it stands."""
    luck = sweep.luck
    if luck is not None and luck.deflated < SURE:
        text = (
            f"the best Sharpe ratio of {luck.trials} trials is {luck.sharpe:.2f}, and chance alone is expected to find {luck.expected:.2f}"
        )
        yield "luck", f"{text}: that there is more to it has a probability of {luck.deflated:.0%}, which is not told from luck"
    if sweep.overfitted >= OVERFITTED:
        text = f"what was best in one half of the period was below the middle in the other in {sweep.overfitted:.0%} of all halves"
        yield "overfitted", f"{text}: the best of these combinations is no better a choice than any other"
    yield from _edges(sweep)
    yield from _decay(sweep)
    if sweep.failed:
        errors = dict.fromkeys(sweep.table["error"][row] for row in sweep.failed)
        more = "" if len(errors) <= FAILURES_TOLD else f", and {len(errors) - FAILURES_TOLD} other reasons"
        yield "failed", f"{len(sweep.failed)} of {len(sweep)} runs failed: {'; '.join(list(errors)[:FAILURES_TOLD])}{more}"


def _edges(sweep: Sweep) -> Iterator[Doubt]:
    if sweep.best is None:
        return
    for path in sweep.paths:
        values = set(sweep.table[path])
        if len(values) < 3 or any(isinstance(value, str | bool) for value in values):
            continue
        found = sweep.table[path][sweep.best]
        if found in (min(values), max(values)):
            side = "smallest" if found == min(values) else "largest"
            yield (
                "edge",
                f"the best run has the {side} value of {sweep.names[path]} that was tried, {shown(found)}: what lies beyond may be better",
            )


def _decay(sweep: Sweep) -> Iterator[Doubt]:
    if not sweep.steps:
        return
    inside, outside = (float(np.mean([sweep.objective[getattr(step, part)] for step in sweep.steps])) for part in ("train", "test"))
    if sweep.by != "final_equity" and inside > 0 and outside < inside / 2:
        text = f"what was chosen had a mean {unit(sweep)} of {_score(sweep, inside)} where it was chosen"
        yield "decay", f"{text}, and of {_score(sweep, outside)} in the time after: less than half"


# --- markup ----------------------------------------------------------------------------------------------------------


def _tiles(sweep: Sweep) -> str:
    tiles = "".join(
        f'<div class="tile"><dt>{escape(label)}</dt><dd data-key="{key}" data-value="{value!r}">{escape(text)}</dd></div>'
        for key, label, text, value in ((key, label, text, float(value)) for key, label, text, value in _figures(sweep))
    )
    return f'<dl class="tiles">{tiles}</dl>'


DEFINITIONS: Final = (
    "The deflated Sharpe ratio is the probability that the true Sharpe ratio of the best run is above the one that the best of so many "
    "trials without skill is expected to have, given how long the period is and how skewed and fat-tailed the returns are (Bailey and "
    "López de Prado 2014). It takes every different trial for an independent one, which is strict; beside it stands what they come to by "
    "their mean correlation. The probability of overfitting is explained at its figure."
)
DEFINITIONS_WALK: Final = (
    "The tests of what was chosen are joined to one period, each beginning anew in cash. How probably its Sharpe ratio is above 0 takes "
    "into account how long it is and how skewed and fat-tailed its returns are (Bailey and López de Prado 2012). The probability of "
    "overfitting, explained at its figure, is that of the combinations over the same tests."
)
DEFINITIONS_ALL: Final = (
    "Correlations, overfitting and what is joined are of returns over 256 equal stretches of each run. Other numbers are those of a "
    "backtest's summary."
)


def _remarks(sweep: Sweep) -> str:
    warned = [f"{escape(text)} <code>{escape(code)}</code>" for code, text in doubts(sweep)]
    warning = f'<section class="warned" id="warnings"><h2>Warnings</h2>{listed(warned)}</section>' if warned else ""
    swept = listed([f"{escape(path)}: {escape(values)}" for path, values in sweep.asked["swept"].items()])
    best = f"<p>Best: {escape(sweep.told(sweep.best))} (run {sweep.table['run'][sweep.best]}).</p>" if sweep.best is not None else ""
    assumed = listed([remark(each) for each in sweep.asked["assumptions"]])
    defined = f"{DEFINITIONS_WALK if sweep.walked else DEFINITIONS} {DEFINITIONS_ALL}"
    return (
        f'{warning}<section class="remarks"><div><h2>Swept</h2>{swept}{best}{_walk(sweep)}'
        f"<h2>Definitions</h2><p>{escape(defined)}</p></div>"
        f'<div id="assumptions"><h2>Assumptions</h2>{assumed}</div></section>'
    )


def _walk(sweep: Sweep) -> str:
    if not sweep.walked:
        return ""
    train, test = (float(sweep.asked["walk"][part]) / 86_400 for part in ("train_s", "test_s"))
    how = "from the beginning, at first over" if sweep.asked["walk"]["anchored"] else "over the last"
    return (
        f"<p>In each fold, what had the highest {escape(unit(sweep))} {how} {train:g} days is chosen, and judged over the {test:g} days "
        "after. Bars before a fold only warm up.</p>"
    )


def _ranked(sweep: Sweep) -> str:
    known = [row for row in range(len(sweep)) if isfinite(sweep.objective[row])]
    order = sorted(known, key=lambda row: (-sweep.objective[row], row))[:ROWS]
    heads = ["run", *map(escape, sweep.names.values()), "return", "Sharpe", "deepest fall", "turnover", "trades", "warnings"]
    rows = [[str(sweep.table["run"][row]), *_values(sweep, row), *_numbers(sweep, row)] for row in order]
    spare = (len(heads) - 3, len(heads) - 2, len(heads) - 1)
    note = f'<p class="soft">The best {len(rows)} of {len(sweep):,} runs; sweep.parquet has all.</p>'
    return f'<section id="best"><h2>Best runs</h2>{note}{table(heads, rows, spare=spare)}</section>'


def _values(sweep: Sweep, row: int) -> Sequence[str]:
    return [escape(shown(value)) for value in sweep.values(row)]


def _numbers(sweep: Sweep, row: int) -> Iterator[str]:
    for name, how in (("return", share), ("sharpe", ratio), ("max_drawdown", share), ("turnover", ratio), ("trades", count)):
        value = sweep.table[name][row]
        yield told(None if value is None else float(value), how)
    yield escape(sweep.table["warnings"][row] or "")


def _folds(sweep: Sweep) -> str:
    heads = ["fold", *map(escape, sweep.names.values()), "test from", "until", "in sample", "out of sample", "return", "better than"]
    rows = [
        [
            str(step.fold + 1),
            *_values(sweep, step.test),
            *(f"{from_epoch_ms(sweep.table[name][step.test]):%Y-%m-%d}" for name in ("start", "end")),
            *(_score(sweep, float(sweep.objective[row])) for row in (step.train, step.test)),
            told(sweep.table["return"][step.test], share),
            told(step.rank, share),
        ]
        for step in sweep.steps
    ]
    note = (
        f'<p class="soft">In and out of sample: {escape(unit(sweep))} of what was chosen. Better than: the share of the other combinations '
        "that it outdid in the test.</p>"
    )
    return f'<section id="folds"><h2>Folds</h2>{note}{table(heads, rows, spare=(len(heads) - 5, len(heads) - 1))}</section>'
