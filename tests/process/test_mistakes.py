"""Mistakes: each thing a user can get wrong is one sentence on stderr and the documented exit code."""

import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.io.clock import SystemClock
from daemon.io.journal import Journal
from tests.process.support import KEY, SECRET, Daemon, Venue, asked, free_port, written

NOWHERE = "http://127.0.0.1:9"

# A place, what is wrong with it, and what to do: no second line, no internals.
SENTENCE = re.compile(r"[^\n]+\n")


def told(config: Path | str, code: int, *words: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
    """`run` ends with `code` and one sentence that has `words` in it."""
    ended = asked("run", config, folder=folder, environ=environ)
    assert (ended.returncode, bool(SENTENCE.fullmatch(ended.stderr))) == (code, True), ended
    assert [word for word in words if word not in ended.stderr] == [], ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


def rewritten(config: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The configuration with `change` made to it."""
    content = json.loads(config.read_text())
    change(content)
    config.write_text(json.dumps(content))
    return config


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    told("nowhere.yaml", 78, "nowhere.yaml", "does not exist", folder=tmp_path)


def test_tab(tmp_path: Path) -> None:
    """A tab where YAML wants spaces is named with its line."""
    (tmp_path / "tab.yaml").write_text("name: momo\nexchange:\n\tid: binance\n")
    told("tab.yaml", 78, "tab.yaml", "line 3", "tab", folder=tmp_path)


def test_misspelt_key(tmp_path: Path) -> None:
    """A key that is nearly right is asked back."""
    config = rewritten(written(tmp_path, NOWHERE), lambda c: c.update(timefrme=c["timeframe"]))
    told(config, 78, "timefrme", "did you mean timeframe?", folder=tmp_path)


def test_unknown_exchange(tmp_path: Path) -> None:
    """An exchange that ccxt does not have is refused before anything is asked."""
    config = rewritten(written(tmp_path, NOWHERE), lambda c: c["exchange"].update(id="binanse"))
    told(config, 78, "binanse", "binance", folder=tmp_path)


def test_unreadable_secret_file(tmp_path: Path) -> None:
    """A secret that others can read is refused."""
    (tmp_path / "secret").write_text("long enough to be one")
    (tmp_path / "secret").chmod(0o644)
    config = rewritten(written(tmp_path, NOWHERE), lambda c: c["exchange"]["credentials"].update(secret={"file": "secret"}))
    told(config, 78, "exchange.credentials.secret", "chmod 600", folder=tmp_path)


def test_port_in_use(tmp_path: Path) -> None:
    """A port that another program listens on is named with the key that changes it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told(written(tmp_path, NOWHERE, api={"port": port}), 78, str(port), "api.port", folder=tmp_path)


def test_unknown_symbol(venue: Venue, tmp_path: Path) -> None:
    """A symbol that the venue does not list is refused with the one that was meant."""
    config = rewritten(written(tmp_path, venue), lambda c: c["universe"]["symbols"].append("SOLL/USDT"))
    told(config, 78, "SOLL/USDT", "SOL/USDT", folder=tmp_path)


@pytest.mark.parametrize(("verb", "name"), [("run", "KEY"), ("check", "SECRET")])
def test_wrong_credentials(verb: str, name: str, venue: Venue, tmp_path: Path) -> None:
    """Credentials that the venue refuses are the user's to correct, and the refusal does not repeat them."""
    wrong = "canary-that-the-venue-does-not-know"
    config = written(tmp_path, venue, logging={"level": "debug"})
    ended = asked(verb, config, folder=tmp_path, environ={name: wrong})
    assert (ended.returncode, bool(SENTENCE.fullmatch(ended.stderr))) == (77, True), ended
    said = ended.stdout + ended.stderr + "".join(path.read_bytes().decode("latin-1") for path in tmp_path.glob("momo.sqlite*"))
    assert [canary for canary in (wrong, KEY, SECRET) if canary in said] == []


def test_second_instance(tmp_path: Path) -> None:
    """A journal has one daemon; the second one names the first and asks the venue nothing."""
    config = written(tmp_path, f"http://127.0.0.1:{free_port()}")
    with Daemon(config) as first:
        first.wait("daemon.starting")
        told(config, 75, "momo.sqlite", str(first.pid), folder=tmp_path)
        first.stop()


def test_damaged_journal(tmp_path: Path) -> None:
    """A journal that is none is refused rather than replaced."""
    (tmp_path / "momo.sqlite").write_bytes(os.urandom(8192))
    told(written(tmp_path, NOWHERE), 65, "momo.sqlite", folder=tmp_path)


def test_journal_of_another_mode(tmp_path: Path) -> None:
    """The journal of one mode is not gone on with in another."""
    with Journal.open(tmp_path / "momo.sqlite", instance="momo", mode="live", clock=SystemClock()):
        pass
    told(written(tmp_path, NOWHERE), 65, "momo.sqlite", "live", "sandbox", folder=tmp_path)


def test_unwritable_place(tmp_path: Path) -> None:
    """A journal that cannot be written is a matter of the disk, not of the configuration."""
    (tmp_path / "file").write_text("not a directory")
    told(written(tmp_path, NOWHERE, journal={"path": "file/momo.sqlite"}), 74, "momo.sqlite", folder=tmp_path)
