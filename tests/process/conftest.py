"""Fixtures: an exchange of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.support import Venue


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    """A venue with default settings."""
    with Venue(folder=tmp_path) as running:
        yield running
