"""Secrets: by reference only, and never in any text."""

import copy
import json
import pickle
from functools import partial
from pathlib import Path

import pytest

from daemon.config import Config, ConfigError, Secret, load, resolve_secrets
from daemon.config.yamltext import parse
from tests.test_config import CANARY, SAMPLE, SENTENCE, changed, complaint, places, put, read, refusals, toy_registry

__all__ = ["toy_registry"]  # the fixture counts in this file too

ENVIRON = {"REBALANCED_API_KEY": "key\n", "REBALANCED_TOKEN": "token"}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment and files that hold every secret of the sample."""
    (tmp_path / "secret").write_text("from-file\r\n")
    (tmp_path / "secret").chmod(0o600)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "password").write_text("from-systemd\n")
    (credentials / "password").chmod(0o644)
    return {**ENVIRON, "CREDENTIALS_DIRECTORY": str(credentials)}


def problems_of(config: Config, environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        resolve_secrets(config, environ)
    assert all(SENTENCE.fullmatch(each) for each in refused.value.problems), refused.value.problems
    return tuple(each.partition(": ")[2] for each in refused.value.problems)


def test_secrets_come_from_three_places(tmp_path: Path, environ: dict[str, str]) -> None:
    """Environment, file beside the configuration, systemd credential: each without its trailing newline."""
    secrets = resolve_secrets(read(tmp_path, SAMPLE), environ)
    found = [each.reveal() for each in (secrets.api_key, secrets.secret, secrets.password, secrets.token) if each]
    assert found == ["key", "from-file", "from-systemd", "token"]


def test_paper_reads_no_keys(tmp_path: Path) -> None:
    """Mode paper does not touch the exchange's keys, even where they are referred to."""
    secrets = resolve_secrets(read(tmp_path, changed(("mode: sandbox", "mode: paper"))), {"REBALANCED_TOKEN": "token"})
    assert secrets.api_key is secrets.secret is secrets.password is None
    assert secrets.token


def test_absent_secrets_are_all_told(tmp_path: Path) -> None:
    """Every reference that leads nowhere is one sentence, at its key."""
    problems = problems_of(read(tmp_path, SAMPLE), {})
    unset = "refers to a systemd credential, and $CREDENTIALS_DIRECTORY is not set; start by systemd, or use env or file"
    assert problems == (
        "exchange.credentials.api_key refers to the variable REBALANCED_API_KEY, which is not set; export it before the start",
        f"exchange.credentials.secret refers to a file that does not exist; create it with mode 0600, relative paths start at {tmp_path}",
        f"exchange.credentials.password {unset}",
        "api.token refers to the variable REBALANCED_TOKEN, which is not set; export it before the start",
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666])
def test_file_that_others_may_use_is_refused(tmp_path: Path, environ: dict[str, str], mode: int) -> None:
    """A secret file that its group or others can open is no secret."""
    (tmp_path / "secret").chmod(mode)
    expected = f"exchange.credentials.secret refers to a file that others may use (mode {mode:04o}); run chmod 600 on it"
    assert problems_of(read(tmp_path, SAMPLE), environ) == (expected,)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "empty"), (b" \n", "empty"), (b"\xff\xfe\xfd", "not text"), (b"x" * 20_000, "too long"), (None, "not a file")],
)
def test_file_without_a_secret_is_refused(tmp_path: Path, environ: dict[str, str], content: bytes | None, what: str) -> None:
    """Empty, binary, huge or no file at all: one sentence each."""
    path = tmp_path / "secret"
    if content is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)
    (problem,) = problems_of(read(tmp_path, SAMPLE), environ)
    assert what in problem


def test_unreadable_file_is_told(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the daemon's user may not open is one sentence with the system's reason."""

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("daemon.config.resolution._read", refuse)
    problems = problems_of(read(tmp_path, SAMPLE), environ)
    assert (
        problems[0] == "exchange.credentials.secret refers to a file that cannot be read (Permission denied); let the daemon's user read it"
    )
    assert problems[1].startswith("exchange.credentials.password refers to a credential that cannot be read")


@pytest.mark.parametrize(
    "reference",
    [
        CANARY,
        f"[{CANARY}]",
        f"{{env: {CANARY}, file: x}}",
        f"{{{CANARY}: x}}",
        f"{{value: {CANARY}}}",
        "{}",
        "{env: }",
        "{env: 'a b'}",
        "{file: ~/x}",
        "{credential: ../x}",
        "5",
    ],
)
def test_only_a_reference_is_taken(tmp_path: Path, reference: str) -> None:
    """Whatever is not exactly one reference is refused without being repeated."""
    for place in ("{env: REBALANCED_API_KEY}", "{env: REBALANCED_TOKEN}"):
        (problem,) = refusals(tmp_path, changed((place, reference)))
        assert CANARY not in problem
        assert "api_key" in problem or "token" in problem


@pytest.mark.parametrize("way", ["env", "file", "credential"])
def test_secret_in_place_of_its_reference_is_not_repeated(tmp_path: Path, environ: dict[str, str], way: str) -> None:
    """A key pasted where its variable or file should be named is not shown by the error that follows."""
    config = read(tmp_path, changed(("{file: secret}", f"{{{way}: {CANARY}}}")))
    (problem,) = problems_of(config, environ)
    assert CANARY not in problem


@pytest.mark.parametrize(
    "key", ["apiKey", "secret", "password", "privateKey", "walletAddress", "token", "accessToken", "api_key", "Authorization", "uid"]
)
def test_ccxt_takes_no_secret(tmp_path: Path, key: str) -> None:
    """The free mapping is no way around references, at any depth."""
    for written in (f"{{{key}: {CANARY}}}", f"{{headers: [{{{key}: {CANARY}}}]}}"):
        (problem,) = refusals(tmp_path, changed(("{options: {adjustForTimeDifference: true}, timeout: 5000}", written)))
        assert problem.endswith("is a secret; refer to it in exchange.credentials")
        assert CANARY not in problem


def test_ccxt_takes_no_password_in_a_url(tmp_path: Path) -> None:
    """A proxy's password is a secret too."""
    (problem,) = refusals(
        tmp_path, changed(("{options: {adjustForTimeDifference: true}, timeout: 5000}", f"{{httpsProxy: 'http://u:{CANARY}@h:1'}}"))
    )
    assert problem.startswith("exchange.ccxt.httpsProxy is a URL with a password")
    assert CANARY not in problem


def test_canary_in_any_place_is_never_repeated(tmp_path: Path) -> None:
    """Whichever value is a secret by mistake, no sentence and no error text shows it."""
    path = tmp_path / "canary.yaml"
    for loc in places(parse(SAMPLE).tree):
        tree = parse(SAMPLE).tree
        put(tree, loc, CANARY)
        path.write_text(json.dumps(tree, default=float))
        error = complaint(partial(load, path, {"REBALANCED__RISK__GROSS": CANARY}))
        assert error is not None
        assert CANARY not in f"{error} {error!r} {error.__cause__!r}", loc
        for canary in ([CANARY], {"env": [CANARY]}, {"value": CANARY}):
            put(tree, loc, canary)
            error = complaint(partial(Config.model_validate, tree))
            assert CANARY not in f"{error} {error!r}", loc


def test_secret_shows_itself_only_when_asked(environ: dict[str, str], tmp_path: Path) -> None:
    """No repr, format or dump of a secret, nor of what holds it, contains it."""
    secret = Secret(CANARY)
    shown = f"{secret} {secret!r} {secret!s:>9} {[secret]} {resolve_secrets(read(tmp_path, SAMPLE), environ)}"
    assert CANARY not in shown
    assert "from-file" not in shown
    assert secret.reveal() == CANARY
    for spill in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            spill(secret)
