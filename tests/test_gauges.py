"""What Prometheus reads: the page says the same, nothing is made up, and a universe of any size costs the loop little."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from daemon.core.plain import Plain
from daemon.io.exchange import Exchange
from daemon.io.metrics import Metrics
from daemon.telling.gauges import FIGURES, SYMBOLS_MAX, Gauges, Seen
from daemon.telling.views import DaemonViews
from tests.bench.scraping import BAR, account_of
from tests.oneprocess import SYMBOLS, at_work, exchange, written

ROOT = Path(__file__).parents[1]


def families(text: bytes) -> dict[str, Metric]:
    """By name as it stands in the text: what Prometheus makes of it."""
    return {f"{each.name}_total" if each.type == "counter" else each.name: each for each in text_string_to_metric_families(text.decode())}


def value(found: Mapping[str, Metric], name: str, **labels: str) -> float:
    """The one sample with these labels; those of an only account are left out."""
    (sample,) = [s for s in found[name].samples if {k: v for k, v in s.labels.items() if v} == labels]
    return float(sample.value)


@pytest.fixture
async def scraped(tmp_path: Path) -> dict[str, Metric]:
    """Everything that a daemon tells which has traded."""
    async with exchange() as venue, at_work(written(tmp_path, venue.ccxt_urls())) as run:
        await run.settled()
        await run.until(lambda: run.daemon.views.ready()[0])
        refusal: dict[str, Plain] = {"event": "order.rejected", "level": "warning", "reason": "funds"}
        wave: dict[str, Plain] = {"event": "wave.settled", "level": "info", "sent": 2, "took_ms": 700, "cost_bps": 12.5}
        for line in (refusal, wave):
            run.daemon.metrics.hear(line)
        found = families(run.daemon.metrics.text())
        status = run.daemon.views.status()
    assert value(found, "rebalanced_equity_quote") == float(cast("Decimal", status["equity"]))
    return found


async def test_a_daemon_that_trades_tells_what_the_page_says(scraped: dict[str, Metric]) -> None:
    """docs/metrics.md has a row for every family, with its kind, its labels and its meaning, and no other."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `(?:rebalanced|process)_.*\|$", page, re.MULTILINE)
    rows = {tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines}
    told = set()
    for name, family in scraped.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        told.add((f"`{name}`", family.type, " ".join(f"`{label}`" for label in sorted(labels)), family.documentation))
    assert rows == told
    assert value(scraped, "rebalanced_ready") == value(scraped, "rebalanced_state", state="running") == 1.0
    assert sum(s.value for s in scraped["rebalanced_state"].samples) == 1.0
    assert {s.labels["symbol"] for s in scraped["rebalanced_weight_ratio"].samples} == set(SYMBOLS)
    assert value(scraped, "rebalanced_unknown_orders") == 0
    assert 0 < value(scraped, "rebalanced_rate_limit_used_ratio", lane="weight") < 1
    assert value(scraped, "rebalanced_wave_cost_ratio") == pytest.approx(0.00125)
    assert value(scraped, "rebalanced_rejected_orders_total", code="funds") == 1.0
    names = {s.name: s.value for s in scraped["rebalanced_journal_commit_seconds"].samples}
    assert names["rebalanced_journal_commit_seconds_count"] > 0


class Views:
    """The views of an account of which little is known."""

    def status(self) -> Mapping[str, object]:
        return dict.fromkeys(key for key, _ in FIGURES.values()) | {"state": "starting", "strategies": [{"name": "momo", "equity": None}]}

    def ready(self) -> tuple[bool, list[str]]:
        return False, ["there has been no slice of bars yet"]

    def weights(self) -> Mapping[str, tuple[float | None, float | None]]:
        return {"BTC/USDT": (None, None)}


def gauges(**accounts: object) -> dict[str, Metric]:
    """What is told of these accounts."""
    seen = {name: Seen(cast("DaemonViews", views), cast("Exchange", object()), BAR) for name, views in accounts.items()}
    metrics = Metrics(accounts, datetime(2026, 1, 2, tzinfo=UTC))
    metrics.add(Gauges({"name": "momo", "mode": "paper", "exchange": "binance"}, seen))
    return families(metrics.text())


def test_what_is_not_known_has_no_sample() -> None:
    """Before the account was read no figure is told, not even zero, and of two accounts each is told by its name."""
    found = gauges(main=Views(), second=Views())
    unknown = [
        *FIGURES,
        "rebalanced_weight_ratio",
        "rebalanced_target_ratio",
        "rebalanced_strategy_equity_quote",
        "rebalanced_silence_seconds",
    ]
    assert [name for name in unknown if found[name].samples] == []
    assert value(found, "rebalanced_ready", account="second") == 0.0
    assert value(found, "rebalanced_state", account="main", state="starting") == 1.0


def test_a_large_universe_has_a_bounded_number_of_series() -> None:
    """Of 500 symbols those with the largest weights and targets are told, and how many are not."""
    seen = account_of(500)
    found = families(seen.text())
    assert {len(found[f"rebalanced_{each}_ratio"].samples) for each in ("weight", "target")} == {SYMBOLS_MAX}
    assert value(found, "rebalanced_untold_symbols") == 500 - SYMBOLS_MAX
    told = {s.labels["symbol"]: s.value for s in found["rebalanced_weight_ratio"].samples}
    assert min(told.values()) > 0
    assert sum(len(family.samples) for family in found.values()) < 400
