"""Own: a user's own strategy file, found and loaded, held to its budget, run in a process of its own."""
