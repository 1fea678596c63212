"""Telling: what happened and how things stand, for logs, the API, metrics and people; nothing here decides."""
