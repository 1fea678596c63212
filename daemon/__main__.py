"""`python -m daemon` and the `rebalanced` command."""

from daemon.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
