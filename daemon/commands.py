"""Commands: what a person asks of a running daemon, given to the account that is meant, or to all of them.

Rule: what one account refuses does not keep the others from doing it; the answer says both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from daemon.commander import Commander
from daemon.io import logs
from daemon.io.api import Impossible, NotThere

# What is asked of the process, whichever account it is written down with.
OF_THE_PROCESS: Final = ("stop", "reload")


class Commands:
    """Carries out commands; `status` says how trading stands, over all accounts."""

    def __init__(self, commanders: Sequence[Commander], status: Callable[[], Mapping[str, object]]) -> None:
        self._commanders = commanders
        self._status = status

    async def command(self, verb: str, argument: str, by: str, account: str = "") -> Mapping[str, object]:
        """Carry out a command on an account, on all of them unless one is named; what has been done, and how trading stands then.

        Raises:
            NotThere: there is no such verb, account, symbol or strategy.
            Impossible: no account can do it as things stand; the sentence says why and what can.
        """
        done: list[str] = []
        refused: list[Impossible | NotThere] = []
        for commander in self._meant(verb, account):
            try:
                with logs.about(commander.account):
                    done.append(_of(commander, await commander.command(verb, argument, by)))
            except (Impossible, NotThere) as error:
                refused.append(type(error)(_of(commander, str(error))))
        impossible = [error for error in refused if isinstance(error, Impossible)]
        if not done:
            raise type((impossible or refused)[0])("; ".join(str(error) for error in impossible or refused))
        status = self._status()
        return {"done": "; ".join([*done, *map(str, impossible)]), "state": status["state"], "reason": status["reason"]}

    def _meant(self, verb: str, account: str) -> Sequence[Commander]:
        known = {commander.account: commander for commander in self._commanders}
        if account and account not in known:
            there = f"there are {', '.join(known)}" if "" not in known else "there is only one"
            raise NotThere(f"there is no account {account}; {there}")
        if verb in OF_THE_PROCESS:
            if account:
                raise Impossible(f"{verb} is for the whole daemon; leave the account out")
            return self._commanders[:1]
        return [known[account]] if account else self._commanders


def _of(commander: Commander, said: str) -> str:
    return f"{commander.account}: {said}" if commander.account else said
