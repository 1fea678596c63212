"""Resolution: the references of a configuration become the secrets themselves.

Rule: a message names the key that refers, never the value found; nor the reference, since it may be the secret put in the wrong place.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from daemon.config.alerts import HOW_TO_GIVE, wrong_address, wrong_apprise
from daemon.config.models import Config
from daemon.config.secrets import Secret, SecretRef, Secrets
from daemon.config.sentences import ConfigError, sentence

MAX_SECRET: Final = 16_384  # bytes; an RSA key in PEM form takes 3,300
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Unresolved(Exception):
    """A reference leads nowhere good: what is wrong, and what to do."""


def resolve_secrets(config: Config, environ: Mapping[str, str]) -> Secrets:
    """Every secret the configuration's mode needs. Raises ConfigError with all that could not be had."""
    found: dict[str, Secret] = {}
    problems: list[str] = []
    for name, path, reference in _references(config):
        try:
            found[name] = Secret(_value(reference, config, environ))
        except Unresolved as error:
            problems.append(sentence(str(config.source), path, *error.args))
    addresses, heartbeat = _addresses(config, environ, problems)
    if problems:
        raise ConfigError(problems)
    return Secrets(**found, addresses=addresses, heartbeat=heartbeat)


def resolve_addresses(config: Config, environ: Mapping[str, str]) -> Secrets:
    """Only the addresses of those who are told, for somebody who need not know the keys. Raises ConfigError likewise."""
    problems: list[str] = []
    addresses, heartbeat = _addresses(config, environ, problems)
    if problems:
        raise ConfigError(problems)
    return Secrets(addresses=addresses, heartbeat=heartbeat)


def _addresses(config: Config, environ: Mapping[str, str], problems: list[str]) -> tuple[tuple[Secret, ...], Secret | None]:
    """Those of `alerts`, in order, and that of `heartbeat`; what could not be had is added to `problems`."""
    found: list[Secret] = []
    for path, where in _places(config):
        try:
            found.append(Secret(_address(path, where, config, environ)))
        except Unresolved as error:
            problems.append(sentence(str(config.source), path, *error.args))
    return tuple(found[: len(config.alerts)]), found[-1] if found and config.heartbeat is not None else None


def _places(config: Config) -> Iterator[tuple[str, SecretRef | str]]:
    """The addresses of those who are told: of `alerts`, in order, then that of `heartbeat`."""
    for index, channel in enumerate(config.alerts):
        yield f"alerts[{index}].{'webhook' if channel.apprise is None else 'apprise'}", channel.address
    if config.heartbeat is not None:
        yield "heartbeat.url", config.heartbeat.url


def resolve_token(config: Config, environ: Mapping[str, str]) -> Secret | None:
    """What commands must show, for somebody who need not know the keys; None: there is none, or it cannot be had here."""
    if config.api.token is None:
        return None
    try:
        return Secret(_value(config.api.token, config, environ))
    except Unresolved:
        return None


def wanted_secrets(config: Config) -> Iterator[tuple[str, SecretRef | None]]:
    """Each secret that the configuration's mode needs, by its dotted key: where it is; None where it stands in the file itself."""
    yield from ((path, reference) for _, path, reference in _references(config))
    yield from ((path, where if isinstance(where, SecretRef) else None) for path, where in _places(config))


def _references(config: Config) -> Iterator[tuple[str, str, SecretRef]]:
    """The references there are. Mode paper needs no keys of the exchange, so it does not read them."""
    keys = config.exchange.credentials
    exchange = {"api_key": keys.api_key, "secret": keys.secret, "password": keys.password} if config.mode != "paper" else {}
    for name, reference in exchange.items():
        if reference:
            yield name, f"{config.place}.credentials.{name}", reference
    if config.api.token:
        yield "token", "api.token", config.api.token


def _address(path: str, where: SecretRef | str, config: Config, environ: Mapping[str, str]) -> str:
    if isinstance(where, str):
        return where
    address = _value(where, config, environ).strip()
    if path.endswith(".apprise"):
        if problem := wrong_apprise(address):
            raise Unresolved(f"refers to what {problem}", "put there one as tgram://TOKEN/CHAT, see appriseit.com")
    elif problem := wrong_address(address):
        raise Unresolved(f"refers to what {problem}", f"put there {HOW_TO_GIVE}")
    return address


def _value(reference: SecretRef, config: Config, environ: Mapping[str, str]) -> str:
    if reference.env is not None:
        value = _from_environment(reference.env, environ)
    elif reference.file is not None:
        value = _from_file(config.read_path(reference.file), config)
    else:
        value = _from_credential(str(reference.credential), config, environ)
    if not value.strip():
        raise Unresolved("refers to an empty value", "put the secret there")
    return value.rstrip("\r\n")  # editors and echo end a file with a newline; no key has one


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise Unresolved(f"refers to {_variable(name)}, which is not set", "export it before the start")
    return environ[name]


def _variable(name: str) -> str:
    """The variable's name if it can only be that: no exchange's key is upper case with an underscore."""
    return f"the variable {name}" if name == name.upper() and "_" in name else "an environment variable"


def _from_file(path: Path, config: Config) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unresolved("refers to something that is not a file", "name the file that holds the secret")
        if status.st_mode & OTHERS:
            raise Unresolved(f"refers to a file that others may use (mode {stat.S_IMODE(status.st_mode):04o})", "run chmod 600 on it")
        return _read(path)
    except FileNotFoundError:
        directory = config.source.parent.absolute()
        raise Unresolved("refers to a file that does not exist", f"create it with mode 0600, relative paths start at {directory}") from None
    except OSError as error:
        raise _unreadable("a file", error) from None


def _from_credential(name: str, config: Config, environ: Mapping[str, str]) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    # Where `install-service` keeps them; so root may check, watch and command a service by its own configuration.
    kept = config.source.parent / "credentials" / f"{config.source.stem}.{name}"
    if not directory and os.access(kept, os.F_OK):
        return _from_file(kept, config)
    if not directory:
        raise Unresolved("refers to a systemd credential, and $CREDENTIALS_DIRECTORY is not set", "start by systemd, or use env or file")
    try:
        # systemd guards this directory itself (its files may be 0440), so modes are not judged here.
        return _read(Path(directory) / name)
    except FileNotFoundError:
        raise Unresolved("refers to a credential that the service does not get", "add LoadCredential=NAME:PATH to the unit") from None
    except OSError as error:
        raise _unreadable("a credential", error) from None


def _read(path: Path) -> str:
    with path.open("rb") as stream:
        raw = stream.read(MAX_SECRET + 1)
    if len(raw) > MAX_SECRET:
        raise Unresolved("refers to something too long for a secret", "name the file that holds the secret alone")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unresolved("refers to something that is not text", "save the secret as UTF-8") from None


def _unreadable(what: str, error: OSError) -> Unresolved:
    reason = os.strerror(error.errno) if error.errno else "I/O error"
    return Unresolved(f"refers to {what} that cannot be read ({reason})", "let the daemon's user read it")
