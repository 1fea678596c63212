"""The documents say what the code says."""

from pathlib import Path

from daemon.core.ordertable import diagram

DOCS = Path(__file__).parent.parent / "docs"


def test_the_diagram_of_an_orders_life_is_the_table() -> None:
    """The picture in docs/architecture.md is drawn from LIFE, transition by transition."""
    assert diagram().strip() in (DOCS / "architecture.md").read_text()
