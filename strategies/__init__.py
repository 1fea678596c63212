"""The strategies that ship with the daemon, by the name a configuration uses."""
