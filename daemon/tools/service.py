"""Service: what makes a configuration a systemd service, as files and as commands of systemctl.

Rule: to plan changes nothing and asks nobody; a plan is shown, or carried out. It writes only what differs, so that a second time does
nothing, and it never touches a journal.
"""

import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon import __version__
from daemon.config import Config, ConfigError, SecretRef, wanted_secrets
from daemon.config.ownuse import is_contained

UNITS: Final = ("rebalanced@.service", "rebalanced-alert@.service", "rebalanced-backup@.service", "rebalanced-backup@.timer")
# Where the units as they ship expect the program; it is put in its place where the program is somewhere else.
EXPECTED: Final = "/opt/rebalanced"
EXEC_PATHS: Final = f"ExecPaths={EXPECTED}"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
# ProtectHome= and PrivateTmp= hide these from a service.
HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - nothing is put there
# The user's own changes stand in override.conf (`systemctl edit`), which is read after this.
DROP_IN: Final = "10-instance.conf"
TOKEN_BYTES: Final = 32
# As in rebalanced-backup@.service, for one of several accounts.
BACKUP: Final = (
    "ExecStart=/bin/sh -c 'exec {program}/bin/rebalanced journal backup --account {account} /etc/rebalanced/%i.yaml "
    '"backup/{account}-$$(date -u +%%Y%%m%%dT%%H%%M%%SZ).sqlite"\''
)


class CannotInstall(Exception):
    """Why there can be no such service here, in sentences for a person."""


@dataclass(frozen=True, slots=True)
class Program:
    """Where the running program is: its environment, and the Python that this was made from."""

    prefix: str
    base: str


@dataclass(frozen=True, slots=True)
class Place:
    """The directories of a service, below `root`: "/" of this machine, or of an image."""

    root: Path

    @property
    def units(self) -> Path:
        """Where units of the administrator are."""
        return self.root / "etc/systemd/system"

    @property
    def configs(self) -> Path:
        """Where NAME.yaml is, and strategies of one's own beside it."""
        return self.root / "etc/rebalanced"

    @property
    def credentials(self) -> Path:
        """What only root may read: NAME.CREDENTIAL."""
        return self.configs / "credentials"

    def drop_in(self, unit: str, name: str) -> Path:
        """What the unit of one instance has beside the template."""
        return self.units / f"{unit.replace('@', f'@{name}')}.d" / DROP_IN

    def others(self, name: str) -> list[str]:
        """The other instances that are installed."""
        found = self.units.glob(f"rebalanced@*.service.d/{DROP_IN}")
        names = (path.parent.name.removeprefix("rebalanced@").removesuffix(".service.d") for path in found)
        return sorted(each for each in names if each != name)


@dataclass(frozen=True, slots=True)
class Put:
    """A file that shall have this content and mode."""

    path: Path
    content: bytes
    mode: int
    what: str

    @property
    def stands(self) -> bool:
        """Whether it does."""
        try:
            return self.path.read_bytes() == self.content and self.path.stat().st_mode & 0o777 == self.mode
        except OSError:
            return False

    def do(self) -> None:
        """Write it whole or not at all; at no moment may anybody read it who shall not."""
        _make(self.path.parent)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(self.content)
            os.fchmod(stream.fileno(), self.mode)
            os.fsync(stream.fileno())
        Path(name).replace(self.path)


def _make(folder: Path) -> None:
    """A directory that everybody may enter, whatever the umask: the user of the service is among them."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def units_of(folder: Path, program: Program) -> dict[str, str]:
    """The templates in `folder`, as they must be for the program where it is."""
    base = "" if within(program.base, ("/usr", program.prefix)) else f" {program.base}"
    texts = {unit: (folder / unit).read_text(encoding="utf-8") for unit in UNITS}
    return {unit: text.replace(EXEC_PATHS, f"{EXEC_PATHS}{base}").replace(EXPECTED, program.prefix) for unit, text in texts.items()}


def within(path: str, places: Sequence[str]) -> bool:
    """Whether `path` is one of `places` or below one."""
    return any(Path(path).is_relative_to(place) for place in places)


# --- what cannot be --------------------------------------------------------------------------------------------------


def refuse(name: str, program: Program, accounts: Sequence[Config], place: Place) -> None:
    """See whether there can be such a service.

    Raises:
        CannotInstall: not under this name, or not with the program where it is.
        ConfigError: not with this configuration.
    """
    if not NAME.fullmatch(name):
        raise CannotInstall(f"{name!r} cannot be the name of a service: write letters, digits, - and _, 48 at most")
    for path in (program.prefix, program.base):
        if within(path, HIDDEN) or not re.fullmatch(r"[A-Za-z0-9/._+-]+", path):
            raise CannotInstall(
                f"the program is in {path}, which a service does not see: install it into /opt/rebalanced (make install), "
                "and call /opt/rebalanced/bin/rebalanced install-service"
            )
    problems = [f"{accounts[0].source}: {problem}" for problem in dict.fromkeys(_problems(name, accounts, place))]
    if problems:
        raise ConfigError(problems)


def _problems(name: str, accounts: Sequence[Config], place: Place) -> Iterator[str]:
    whole = accounts[0]
    for key, reference in wanted(accounts).items():
        if reference is None:
            yield f"{key} stands in a file that everybody on the machine may read; write {{credential: {key.split('.')[-1]}}}"
        elif reference.credential is None:
            yield f"{key} is in {reference.place}, which a service does not have; write {{credential: NAME}}"
    if whole.api.port == 0:
        yield "api.port is 0, and a service may listen at one port only; write its number, 8787"
    for other in place.others(name):
        if f":{whole.api.port}\n" in place.drop_in("rebalanced@.service", other).read_text(encoding="utf-8"):
            yield f"api.port is {whole.api.port}, at which rebalanced@{other} listens; write another"
    for account in accounts:
        if (path := account.journal.path) is not None and (path.startswith("/") or ".." in Path(path).parts):
            yield f"journal.path is {path}, where a service may not write; leave it out, or write a path below the service's own directory"
    for strategy in whole.strategies:
        yield from _strategy_problems(strategy.name, strategy.use, name, whole, place)


def _strategy_problems(strategy: str, use: str, name: str, config: Config, place: Place) -> Iterator[str]:
    if not is_contained(use):
        return
    where = use.rpartition(":")[0]
    if not where.endswith(".py"):
        if (config.source.parent / where.split(".")[0]).exists():
            yield f"strategies.{strategy} is in a package beside the file, which a service does not have; install it beside the daemon"
    elif where.startswith("/") or ".." in Path(where).parts:
        yield f"strategies.{strategy} is in {where}, which is not beside the file; put it there, and write ./NAME.py:CLASS"
    elif (there := place.configs / where).exists() and there.read_bytes() != config.read_path(where).read_bytes():
        named = (other for other in place.others(name) if Path(where).name in (place.configs / f"{other}.yaml").read_text(encoding="utf-8"))
        for other in named:
            yield f"strategies.{strategy} is in {where}, and rebalanced@{other} has another file of that name; rename it"


# --- what is to be done ----------------------------------------------------------------------------------------------


def wanted(accounts: Sequence[Config]) -> Mapping[str, SecretRef | None]:
    """Every secret that some account needs, by its dotted key: where it is; None where it stands in the file itself."""
    return {key: reference for account in accounts for key, reference in wanted_secrets(account)}


def credentials(accounts: Sequence[Config]) -> Mapping[str, str]:
    """The credentials that the service gets, each with the first key that refers to it."""
    found: dict[str, str] = {}
    for key, reference in wanted(accounts).items():
        if reference is not None and reference.credential is not None:
            found.setdefault(reference.credential, key)
    return found


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def files(name: str, program: Program, accounts: Sequence[Config], place: Place, shipped: Path) -> Iterator[Put]:
    """All that the service needs beside its credentials, in the order in which it is put there."""
    whole = accounts[0]
    yield Put(place.configs / f"{name}.yaml", whole.source.read_bytes(), 0o644, "the configuration")
    for where in dict.fromkeys(each.use.rpartition(":")[0] for each in whole.strategies if is_contained(each.use)):
        if where.endswith(".py"):
            yield Put(place.configs / where, whole.read_path(where).read_bytes(), 0o644, "a strategy of yours")
    for unit, text in units_of(shipped, program).items():
        yield Put(place.units / unit, text.encode(), 0o644, "a unit of all instances")
    for unit, lines in _drop_ins(name, program, accounts).items():
        said = f"# Of rebalanced {__version__} (install-service). Changes of yours belong into another file: systemctl edit.\n[Service]\n"
        yield Put(place.drop_in(unit, name), (said + "\n".join(lines) + "\n").encode(), 0o644, "what this instance has of its own")


def _drop_ins(name: str, program: Program, accounts: Sequence[Config]) -> Mapping[str, list[str]]:
    """The lines that one instance has beside each template. An empty assignment forgets what the template has."""
    api = accounts[0].api
    family = "ipv6" if ":" in api.host else "ipv4"
    given = credentials(accounts)
    told = [each for each, key in given.items() if key.startswith(("alerts", "heartbeat"))]
    lines = {
        "rebalanced@.service": [*_loads(name, given), "SocketBindAllow=", f"SocketBindAllow={family}:tcp:{api.port}"],
        "rebalanced-alert@.service": _loads(name, told),
    }
    if accounts[0].account:
        lines["rebalanced-backup@.service"] = [
            "ExecStart=",
            *(BACKUP.format(program=program.prefix, account=each.account) for each in accounts),
        ]
    return lines


def _loads(name: str, given: Iterable[str]) -> list[str]:
    return ["LoadCredential=", *(f"LoadCredential={each}:/etc/rebalanced/credentials/{name}.{each}" for each in given)]


class Systemctl:
    """The manager of a machine, or of an image, where nothing runs."""

    def __init__(self, place: Place) -> None:
        self._root = () if place.root == Path("/") else (f"--root={place.root}",)
        self.runs = not self._root and Path("/run/systemd/system").exists()

    def enable(self, *units: str) -> None:
        """Have them started at every boot from the next on."""
        self._call("enable", "--quiet", *units)

    def disable(self, *units: str) -> None:
        """Have them started no more."""
        self._call("disable", "--quiet", *units)

    def forgive(self, unit: str) -> None:
        """Forget how often it has failed, so that it may be started once more."""
        with suppress(CannotInstall):  # it is unknown yet
            self.now("reset-failed", unit)

    def now(self, verb: str, *units: str) -> None:
        """Start, restart or stop; until it is done, or failed. Where no manager runs, nothing."""
        if self.runs:
            self._call(verb, *units)

    def _call(self, *words: str) -> None:
        try:
            done = subprocess.run(["systemctl", *self._root, *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
        except FileNotFoundError:
            raise CannotInstall(
                "systemctl is not here: this is for a machine with systemd; see docs/container.md for one without"
            ) from None
        if done.returncode:
            raise CannotInstall(f"systemctl {' '.join(words)} failed: {done.stderr.strip() or done.returncode}")
