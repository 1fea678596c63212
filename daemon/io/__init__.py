"""The edges: everything that waits for a network, a disk or a clock."""
