"""A slice of `make endurance`: what a flood of messages and ended connections leaves behind."""

from pathlib import Path

from tests.soak.endurance import endure


def test_b14_b15_a_flood_over_many_connections_leaves_nothing_behind(tmp_path: Path) -> None:
    """Messages by the ten thousand, connections that are ended again and again: memory, tasks and descriptors stay what they were."""
    held = endure(tmp_path, messages=60_000, reconnects=4, times=1000, warm=0.5, looks=3)
    assert held.failed == []
    assert held.messages >= 60_000
    assert held.connections >= 4
