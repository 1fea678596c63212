"""Tools: what the verbs do that trade nothing: checks, first files, services, and journals read, exported and replayed."""
