"""Research: stored bars through the same core as live, and what is learnt from it."""
