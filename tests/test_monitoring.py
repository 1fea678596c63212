"""The files for those who watch: alert rules and dashboard ask for figures that exist, and Prometheus takes the files."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from daemon.config import tree

ROOT: Final = Path(__file__).parents[1]
DEPLOY: Final = ROOT / "deploy"
PROMTOOL: Final = shutil.which("promtool")
PAGE: Final = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
LABELS: Final = dict(re.findall(r"^\| `([a-z_]+)` \| \w+ \|([^|]*)\|", PAGE, re.MULTILINE))

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here: apt-get install prometheus")


def rules() -> list[dict[str, Any]]:
    return list(tree(DEPLOY / "alerts.yml", "write rules")["groups"][0]["rules"])


def dashboard() -> dict[str, Any]:
    return dict(json.loads((DEPLOY / "grafana/rebalanced.json").read_text(encoding="utf-8")))


def expressions() -> list[str]:
    """Everything that alerts and panels ask Prometheus for."""
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def test_every_figure_that_is_asked_for_is_told() -> None:
    """A rule or a panel over a name that no daemon tells would be silent for ever."""
    asked = {name for text in expressions() for name in re.findall(r"\b(?:rebalanced|process)_[a-z_]+", text)}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= LABELS.keys()
    unseen = {name for name in LABELS if name.startswith("rebalanced_")} - {re.sub(r"_bucket$", "", name) for name in asked}
    assert unseen <= {
        "rebalanced_info",
        "rebalanced_positions",
        "rebalanced_open_orders",
        "rebalanced_untold_symbols",
        "rebalanced_last_decision_timestamp_seconds",
    }


def test_each_alert_is_explained() -> None:
    """The page has a row for each rule, and no other; each has a sentence and a severity."""
    assert {rule["alert"] for rule in rules()} == set(re.findall(r"^\| `(Rebalanced\w+)` \|", PAGE, re.MULTILINE))
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] in ("page", "warn") for rule in rules())


def test_the_panels_lie_side_by_side() -> None:
    """No panel covers another or leaves the grid, and each has a number of its own and asks the chosen Prometheus."""
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["id"] for panel in panels}) == len(panels)


@needs_promtool
def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    """Promtool finds nothing to say against the rules, nor against the panels' expressions made into rules."""
    panels = [text.replace('"$instance"', '".*"') for text in expressions()]
    made = {"groups": [{"name": "panels", "rules": [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(panels)]}]}
    (tmp_path / "panels.yml").write_text(json.dumps(made))  # JSON is YAML
    for path in (DEPLOY / "alerts.yml", tmp_path / "panels.yml"):
        told = subprocess.run([str(PROMTOOL), "check", "rules", str(path)], capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr
