"""The benches themselves: what is compared is the same work, and a floor that is not kept is said."""

from pathlib import Path

import numpy as np
import pytest

from tests.bench import live
from tests.bench.page import put
from tests.bench.peers import beside, ours
from tests.bench.peers.environments import NotThere, run
from tests.bench.peers.work import moves, reference, same


def contest(**seconds: float) -> beside.Contest:
    """A contest on the first shape, with these times of a run."""
    found = beside.Contest()
    for name, took in seconds.items():
        found.results[beside.SHAPES[0].name, name] = beside.Result(240_000, [took], decisions=833, orders=4000)
        found.versions[name] = f"{name} 1"
    return found


def test_our_engine_does_the_work_that_is_compared(tmp_path: Path) -> None:
    """Its decisions are as many as those of the plain loop, and rest on the same signals to 1e-9."""
    work = beside.Shape("", 4, 240, 24, 0, 0).work(1.0)
    made = ours.prepared(tmp_path, work)
    made.run.run(made.bars)
    assert len(work.decisions) == 10
    assert same(ours.signals(made, work), reference(work)) == ""


def test_other_work_is_not_compared() -> None:
    """A decision too few, or a signal that is a little off, is named."""
    signals = np.ones((3, 2, 4))
    assert same(signals, signals + 1e-10) == ""
    assert same(signals, signals + 1e-8) == "signals differ by 1e-08"
    assert same(signals[1:], signals) == "2 decisions instead of 3"
    assert "signals differ by nan" in same(signals * np.nan, signals)


def test_a_small_distance_is_not_traded() -> None:
    """A tenth of the target is left alone, and what is to go always goes."""
    assert [moves(*each) for each in ((0.26, 0.25), (0.28, 0.25), (0.001, 0.0), (0.0, 0.0))] == [False, True, True, False]


def test_a_floor_that_is_not_kept_is_said() -> None:
    """Fifty times backtrader is the floor of the first shape: one run below it is broken, one above it is not."""
    assert list(contest(rebalanced=0.1, backtrader=5.1).broken()) == []
    assert list(contest(rebalanced=0.1, backtrader=4.0).broken()) == ["12 x 20,000: 40.0 times backtrader, the floor is 50"]
    slow = {12: live.Lived([{"first_byte": 2.0}], frames_ms=[12.0]), 500: live.Lived([{"first_byte": 2.0}], frames_ms=[12.0])}
    assert list(live.broken(slow)) == ["live path with 12 symbols: 6.0 times the DataFrame idiom, the floor is 10"]


def test_a_peer_that_is_missing_is_left_out_with_a_word(tmp_path: Path) -> None:
    """The table has who took part, and says why another did not; a program that fails says its last line."""
    found = contest(rebalanced=0.1, backtrader=5.1)
    found.left["basana"] = "basana does not install: no reason was given"
    text = "\n".join(beside.lines(found))
    assert "| 12 x 20,000 | 2,400.0 k | 47.1 k (x 51) |" in text
    assert "- basana is missing: basana does not install: no reason was given" in text
    with pytest.raises(NotThere, match="No such file"):
        run(Path("/usr/bin/env"), tmp_path / "nothing")


def test_a_bench_writes_its_own_part_of_the_page(tmp_path: Path) -> None:
    """What stands between its marks is replaced, whatever it is; the rest stays, and a page without marks is refused."""
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- live -->\nold\nrows\n<!-- end of live -->\nb\n")
    put("live", ["new", r"\1"], page)
    put("live", ["new", r"\1"], page)
    assert page.read_text() == "a\n<!-- live -->\nnew\n\\1\n<!-- end of live -->\nb\n"
    with pytest.raises(ValueError, match="no marks for peers"):
        put("peers", [], page)
