"""Pure decisions: numpy and the standard library, no await, no clock, no log, no I/O."""
