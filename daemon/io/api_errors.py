"""Why the API could not be opened: known to whoever ends the process for it, without what serves it."""


class CannotListen(Exception):
    """The API could not be opened. Its text is one sentence for a person."""


class PortInUse(CannotListen):
    """Another program listens there."""
