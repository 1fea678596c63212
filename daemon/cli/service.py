"""Command line: the verbs that make a configuration a systemd service, and end that.

Rule: every step is said; nothing is done before all of it is known to be possible.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.shared import ConfigPath, fail, load_accounts, mistakes
from daemon.config import Config
from daemon.tools.service import UNITS, CannotInstall, Place, Program, Put, Systemctl, credentials, files, new_token, refuse

serving = typer.Typer()

InstanceName = Annotated[str, typer.Argument(metavar="NAME", help="Of the service: rebalanced@NAME.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Root = Annotated[Path, typer.Option(metavar="DIR", help="Put it into the image below DIR, where nothing runs.")]
ROOT = Path("/")


@serving.command("install-service")
def install_service(
    name: InstanceName,
    config: ConfigPath,
    dry_run: DryRun = False,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it, now and at every boot.")] = True,
    credential: Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Take a credential from a file.")] = None,
    root: Root = ROOT,
) -> None:
    """Run CONFIG as the systemd service rebalanced@NAME, backed up every night. Once more after an upgrade: it does what is left to do."""
    place, program = Place(root.absolute()), Program(sys.prefix, sys.base_prefix)
    accounts = [settings for settings, _ in load_accounts(config, {}, need_secrets=False)]
    with mistakes(), _refusals():
        refuse(name, program, accounts, place)
        _need_root(root, dry_run=dry_run)
        puts = [*_credentials(name, accounts, place, _given(credential or []), dry_run=dry_run)]
        puts += files(name, program, accounts, place, _shipped())
        changed = _put(puts, dry_run=dry_run)
        if not dry_run:
            _begin(name, Systemctl(place), place, changed=changed, start=start)
    if accounts[0].api.token and not dry_run:
        typer.echo(f"the token of the dashboard is in {place.credentials}, readable for root")


@serving.command("uninstall-service")
def uninstall_service(name: InstanceName, dry_run: DryRun = False, root: Root = ROOT) -> None:
    """Stop rebalanced@NAME in order and start it no more. Its configuration, credentials and journal stay."""
    place = Place(root.absolute())
    with _refusals():
        if not place.drop_in("rebalanced@.service", name).exists():
            raise CannotInstall(f"there is no service rebalanced@{name}; installed are: {', '.join(place.others(name)) or 'none'}")
        _need_root(root, dry_run=dry_run)
        gone = [place.drop_in(unit, name) for unit in UNITS] + ([] if place.others(name) else [place.units / unit for unit in UNITS])
        if not dry_run:
            manager = Systemctl(place)
            manager.now("stop", *_started(name))
            manager.disable(*_started(name))
        for path in gone:
            _remove(path, dry_run=dry_run)
        if not dry_run:
            manager.now("daemon-reload")
    typer.echo(f"what stays: {place.configs}/{name}.yaml, {place.credentials}/{name}.*, {place.root / 'var/lib/rebalanced' / name}")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except CannotInstall as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename or 'a file'} cannot be written ({error.strerror})", 1)


def _need_root(root: Path, *, dry_run: bool) -> None:
    if root == ROOT and not dry_run and os.geteuid() != 0:
        raise CannotInstall("a service of the machine is made by root: put sudo before it, or add --dry-run to see what would be done")


def _shipped() -> Path:
    """The units that ship with the program: in the clone's systemd/, or inside the installed package."""
    clone = Path(__file__).parents[2] / "systemd"
    return clone if clone.is_dir() else Path(__file__).parents[1] / "units"


def _started(name: str) -> tuple[str, str]:
    return f"rebalanced@{name}.service", f"rebalanced-backup@{name}.timer"


# --- credentials -----------------------------------------------------------------------------------------------------


def _given(options: Sequence[str]) -> dict[str, bytes]:
    """What --credential has brought."""
    found = {}
    for option in options:
        name, _, path = option.partition("=")
        if not name or not path:
            fail("--credential is written NAME=FILE, as in --credential api-key=key.txt", 2)
        found[name] = Path(path).read_bytes()
    return found


def _credentials(name: str, accounts: Sequence[Config], place: Place, given: Mapping[str, bytes], *, dry_run: bool) -> Iterator[Put]:
    """What is given, made or asked for; what is there already stays."""
    needed = credentials(accounts)
    if strange := sorted(set(given) - set(needed)):
        raise CannotInstall(f"{accounts[0].source} has no credential {strange[0]}; it has {', '.join(needed) or 'none'}")
    for each, key in needed.items():
        path = place.credentials / f"{name}.{each}"
        if (content := given.get(each)) is not None:
            yield Put(path, content, 0o600, f"what {key} refers to")
        elif path.exists():
            if os.access(path, os.R_OK):  # else nobody has asked for more than a dry run
                yield Put(path, path.read_bytes(), 0o600, f"what {key} refers to")
        elif key == "api.token":
            yield Put(path, f"{new_token()}\n".encode(), 0o600, "a new token for commands")
        else:
            yield Put(path, b"" if dry_run else _asked(each, key, path), 0o600, f"what {key} refers to")


def _asked(name: str, key: str, path: Path) -> bytes:
    if not sys.stdin.isatty():
        raise CannotInstall(f"{key} is in the credential {name}, which is not there: add --credential {name}=FILE, or put it into {path}")
    return f"{typer.prompt(f'{key} (not shown)', hide_input=True)}\n".encode()


# --- the steps -------------------------------------------------------------------------------------------------------


def _put(puts: Sequence[Put], *, dry_run: bool) -> bool:
    """Put what is not there yet; whether anything was."""
    due = [put for put in puts if not put.stands]
    for put in puts:
        done = "as it is" if put not in due else "would be written" if dry_run else "written"
        if put in due and not dry_run:
            put.do()
        typer.echo(f"{put.path}: {done} ({put.what})")
    return bool(due)


def _remove(path: Path, *, dry_run: bool) -> None:
    if not path.exists():
        return
    if not dry_run:
        path.unlink()
        if path.parent.name.endswith(".d") and not any(path.parent.iterdir()):
            path.parent.rmdir()
    typer.echo(f"{path}: {'would be removed' if dry_run else 'removed'}")


def _begin(name: str, manager: Systemctl, place: Place, *, changed: bool, start: bool) -> None:
    """Have systemd know it, and run it as it is now. What is unchanged and runs goes on undisturbed."""
    service, timer = _started(name)
    manager.now("daemon-reload")
    if not start:
        typer.echo(f"not started: systemctl enable --now {service} {timer}")
        return
    manager.enable(service, timer)
    if not manager.runs:
        typer.echo(f"{service}: starts at the next boot")
        return
    typer.echo(f"{service}: {'restarting' if changed else 'started, unless it runs'}")
    manager.forgive(service)
    try:
        manager.now("restart" if changed else "start", service)
    except CannotInstall:
        raise CannotInstall(f"rebalanced@{name} did not start; why, is in: journalctl -u {service} -n 20") from None
    manager.now("start", timer)
    typer.echo(f"{service}: running; its log: journalctl -fu {service} -o cat")
