"""The documents say what the code says."""

from pathlib import Path

import pytest

from daemon.core.ordertable import diagram
from tests.pages import MADE, pages

DOCS = Path(__file__).parent.parent / "docs"


def test_the_diagram_of_an_orders_life_is_the_table() -> None:
    """The picture in docs/architecture.md is drawn from LIFE, transition by transition."""
    assert diagram().strip() in (DOCS / "architecture.md").read_text()


@pytest.mark.parametrize("page", MADE)
def test_what_is_made_of_the_source_is_up_to_date(page: str) -> None:
    """The made parts of a page are what the source says now; `make pages` writes them anew."""
    (as_is, wanted) = next((as_is, wanted) for path, as_is, wanted in pages() if path.name == page)
    assert as_is == wanted, "run `make pages`"
