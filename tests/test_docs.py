"""The documents say what the code says."""

import re
from pathlib import Path
from typing import get_args

import pytest

from daemon.config import Config
from daemon.io.alerts_sieve import ALWAYS, _matches
from tests.pages import MADE, SCHEMA, logevents, pages
from tests.test_faults import names_in

DOCS = Path(__file__).parent.parent / "docs"


def test_the_tests_that_the_security_page_names_are_there() -> None:
    """What it says is shown is shown by a test of that name."""
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", (DOCS / "security.md").read_text())
    assert [f"{path}::{test}" for path, test in named if test not in names_in(path)] == []
    assert len(named) > 20


def test_the_runbook_knows_whatever_wakes_a_person() -> None:
    """Each alert rule, each line of level error or warning and each that is sent whatever its level has one row there; no other has."""
    rows = re.findall(r"^\| `([\w.]+)` \|", (DOCS / "runbook.md").read_text(), re.MULTILINE)
    alerts = re.findall(r"^ *- alert: (\w+)$", (DOCS.parent / "deploy" / "alerts.yml").read_text(), re.MULTILINE)
    loud = {name for name, row in logevents.rows().items() if row.level in ("error", "warning")}
    sent = {name for name, row in logevents.rows().items() if _matches(name, ALWAYS)}
    assert sorted(rows) == sorted([*alerts, *(loud | sent)])


def test_every_page_is_in_the_site() -> None:
    """What is written can be found: the navigation of the site lists each page once."""
    listed = re.findall(r"[\w-]+\.md", (DOCS.parent / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", [*MADE, SCHEMA.name])
def test_what_is_made_of_the_source_is_up_to_date(page: str) -> None:
    """The made parts of a page are what the source says now; `make pages` writes them anew."""
    (as_is, wanted) = next((as_is, wanted) for path, as_is, wanted in pages() if path.name == page)
    assert as_is == wanted, "run `make pages`"


@pytest.mark.parametrize("page", ["journal.md", "migrating.md"])
def test_every_key_in_a_page_is_there(page: str) -> None:
    """A dotted key that a page names is one of the configuration."""
    sections = ("capital", "exchange", "execution", "journal", "risk", "universe")
    for key in re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_.]+)[`:]", (DOCS / page).read_text()):
        node: object = Config
        for part in key.split("."):
            assert isinstance(node, type), key
            assert part in node.model_fields, key  # type: ignore[attr-defined]
            found = node.model_fields[part].annotation  # type: ignore[attr-defined]
            node = next((each for each in (found, *get_args(found)) if hasattr(each, "model_fields")), str)
