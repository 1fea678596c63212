"""The doctor: every check finds what it is for, says what to do, and lets the other checks go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.config import load
from daemon.tools import doctor, doctor_machine
from daemon.tools.doctor import examined
from daemon.tools.findings import Finding, Verdict
from daemon.venue import Venue, VenueSettings, faultscript
from daemon.venue.faults import Script
from tests.io.journal_facts import open_journal
from tests.oneprocess import KEYS, NOWHERE, written

SYNCED = doctor_machine.synced
DARK = {"public": f"{NOWHERE}/api/v3", "private": f"{NOWHERE}/api/v3"}
CHECKS = {"python", "packages", "clock_service", "disk_space", "disk_write", "config_file", "journal_file", "journal", "config", "secrets"}
ASKED = {"abilities", "network", "clock", "markets", "key", "key_rights"}


class Usage(NamedTuple):
    """What is free of a disk, in bytes."""

    free: int


@pytest.fixture(autouse=True)
def _an_idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's own disk and clock are like is nobody's business here."""
    monkeypatch.setattr(doctor_machine, "synced", lambda _folder: 0.001)
    monkeypatch.setattr(doctor_machine, "_kernel_status", lambda: 0)


async def found(config: Path, environ: dict[str, str] | None = None) -> dict[str, Finding]:
    """What is found, by check; of several of one check the worst."""
    findings = await examined(load(config, {}), KEYS if environ is None else environ)
    severity = list(Verdict)
    return {each.check: each for each in sorted(findings, key=lambda finding: severity.index(finding.verdict))}


async def over_venue(
    folder: Path, mode: str = "live", *, faults: Any = None, settings: dict[str, Any] | None = None, **sections: Any
) -> dict[str, Finding]:
    """What is found over an exchange with these faults."""
    script = faultscript.read({"faults": [faults]}, "here") if faults else Script()
    async with Venue(VenueSettings(interval="1s", markets=4, history=50, faults=script, **(settings or {}))) as venue:
        findings = await found(written(folder, venue.ccxt_urls(), mode=mode, **sections))
        assert venue.state()["orders"] == []
    return findings


async def test_a_well_one_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is wrong nothing is said to be, every check has its line, and neither a journal nor a file is left behind."""
    monkeypatch.chdir(tmp_path)
    findings = await over_venue(tmp_path)
    assert findings.keys() == CHECKS | ASKED
    assert [finding for finding in findings.values() if finding.verdict is Verdict.FAILED] == []
    assert _left_in(tmp_path) == ["momo.yaml"]


SICK: dict[str, tuple[str, Verdict, dict[str, Any], str]] = {
    "a clock that is off": ("clock", Verdict.FAILED, {"faults": {"do": "clock", "offset": "5s"}}, "clock_skew"),
    "a clock that is somewhat off": ("clock", Verdict.WARNING, {"faults": {"do": "clock", "offset": "600ms"}}, "timedatectl"),
    "a key that may withdraw": ("key_rights", Verdict.FAILED, {"settings": {"key_withdraws": True}}, "trade and nothing else"),
    "one that is taken all the same": (
        "key_rights",
        Verdict.WARNING,
        {"settings": {"key_withdraws": True}, "live": {"i_understand": True, "key_may_withdraw": True}},
        "only read and trade",
    ),
    "rights that are not told": (
        "key_rights",
        Verdict.WARNING,
        {"faults": {"do": "http", "on": "account.apiRestrictions", "status": 404, "body": "{}"}},
        "the key's page",
    ),
    "a key that is not known": ("key", Verdict.FAILED, {"settings": {"key": "another"}}, "new key"),
    "a symbol that is not listed": (
        "markets",
        Verdict.FAILED,
        {"universe": {"quote": "USDT", "symbols": ["NOPE/USDT"]}},
        "universe.symbols",
    ),
    "bars of a length that is not there": ("abilities", Verdict.FAILED, {"timeframe": "7m"}, "timeframe"),
    "an exchange in maintenance": ("network", Verdict.FAILED, {"faults": {"do": "http", "status": 503, "body": ""}}, "maintenance"),
}


@pytest.mark.parametrize("what", SICK)
async def test_what_is_wrong_at_the_exchange_is_found(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock, key, rights, symbols, bars and outages: each fails its own check, with the remedy, and no other check of this machine."""
    monkeypatch.chdir(tmp_path)
    check, verdict, terms, remedy = SICK[what]
    findings = await over_venue(tmp_path, **terms)
    assert (findings[check].verdict, remedy in findings[check].remedy + findings[check].text) == (verdict, True), findings[check]
    assert findings.keys() >= CHECKS
    assert all(finding.verdict is not Verdict.FAILED for name, finding in findings.items() if name in CHECKS)


async def test_an_exchange_that_is_not_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer is one finding, and the rest is told all the same."""
    monkeypatch.chdir(tmp_path)
    findings = await found(written(tmp_path, {"api": DARK}, mode="paper"))
    assert findings["network"].verdict is Verdict.FAILED
    assert "does not answer" in findings["network"].text


async def test_hosts_of_channels_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of a channel that nobody listens at is a warning that does not repeat its address."""
    monkeypatch.chdir(tmp_path)
    findings = await over_venue(tmp_path, alerts=[{"webhook": f"{NOWHERE}/hooks/s3cret-path-0123"}])
    assert findings["network"].verdict is Verdict.WARNING
    assert "alerts[0]" in findings["network"].text
    assert "s3cret" not in repr(findings)


async def test_secrets_that_are_missing_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its keys the exchange is not asked, and the sentence names where each should be."""
    monkeypatch.chdir(tmp_path)
    findings = await found(written(tmp_path, {"api": DARK}, mode="live"), {})
    assert findings["secrets"].verdict is Verdict.FAILED
    assert "exchange.credentials" in findings["secrets"].text
    assert not findings.keys() & ASKED


async def test_a_strategy_that_cannot_run_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `check` would refuse, the doctor finds, too."""
    monkeypatch.chdir(tmp_path)
    pair = {"name": "p", "use": "pairs", "params": {"pair": ["BTC/USDT", "NOPE/USDT"]}}
    findings = await found(written(tmp_path, {"api": DARK}, mode="paper", strategies=[pair]))
    assert findings["config"].verdict is Verdict.FAILED


Spoil = Callable[[Path, pytest.MonkeyPatch], object]
MACHINE: dict[str, tuple[str, Verdict, Spoil]] = {
    "an old interpreter": ("python", Verdict.FAILED, lambda _, patch: patch.setattr(doctor_machine, "PYTHON_MIN", (9, 0))),
    "an old package": (
        "packages",
        Verdict.FAILED,
        lambda _, patch: patch.setattr("daemon.tools.doctor_machine.metadata.requires", lambda _name: ["numpy>=99.0", "nope>=1"]),
    ),
    "a clock that nothing keeps": (
        "clock_service",
        Verdict.WARNING,
        lambda _, patch: patch.setattr(doctor_machine, "_kernel_status", lambda: 0x40),
    ),
    "a clock that says nothing": (
        "clock_service",
        Verdict.WARNING,
        lambda _, patch: patch.setattr(doctor_machine, "_kernel_status", lambda: None),
    ),
    "a full disk": (
        "disk_space",
        Verdict.FAILED,
        lambda _, patch: patch.setattr("daemon.tools.doctor_machine.shutil.disk_usage", lambda _f: Usage(1 << 20)),
    ),
    "a filling disk": (
        "disk_space",
        Verdict.WARNING,
        lambda _, patch: patch.setattr("daemon.tools.doctor_machine.shutil.disk_usage", lambda _f: Usage(500 << 20)),
    ),
    "a slow disk": ("disk_write", Verdict.WARNING, lambda _, patch: patch.setattr(doctor_machine, "synced", lambda _f: 0.2)),
    "a disk that hangs": ("disk_write", Verdict.FAILED, lambda _, patch: patch.setattr(doctor_machine, "synced", lambda _f: 2.0)),
    "a disk that refuses": ("disk_write", Verdict.FAILED, lambda _, patch: patch.setattr(doctor_machine, "synced", _refuses)),
    "everybody's configuration": ("config_file", Verdict.FAILED, lambda folder, _: (folder / "momo.yaml").chmod(0o666)),
    "a journal that others read": ("journal_file", Verdict.FAILED, lambda folder, _: _journal(folder).chmod(0o644)),
    "a journal that is damaged": (
        "journal",
        Verdict.FAILED,
        lambda folder, _: _journal(folder).write_bytes(b"SQLite format 3\0" + bytes(200)),
    ),
}


def _left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _refuses(_folder: Path) -> float:
    raise OSError(30, "Read-only file system")


def _journal(folder: Path) -> Path:
    open_journal(folder / "momo.sqlite").close()
    return folder / "momo.sqlite"


@pytest.mark.parametrize("what", MACHINE)
async def test_what_is_wrong_with_the_machine_is_found(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpreter, packages, clock, disk, permissions and journal: each fails its own check alone, with a remedy."""
    monkeypatch.chdir(tmp_path)
    config = written(tmp_path, {"api": DARK}, mode="live")
    check, verdict, spoil = MACHINE[what]
    spoil(tmp_path, monkeypatch)
    findings = await found(config, {})  # without keys no exchange is asked
    assert (findings[check].verdict, bool(findings[check].remedy)) == (verdict, True)
    assert {name for name, finding in findings.items() if finding.verdict is not Verdict.OK} == {check, "secrets"}


def test_a_commit_is_timed_on_the_disk_itself(tmp_path: Path) -> None:
    """The time until a page is on disk is measured where the journal will be, and nothing is left there."""
    assert SYNCED(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_the_verb_tells_a_line_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each check, the same as JSON, and exit code 1 with a count where one fails."""

    async def said(*_arguments: object) -> list[Finding]:
        return [Finding("clock", Verdict.OK, "fine"), Finding("key", Verdict.FAILED, "it is refused", "make a new one")]

    monkeypatch.setattr(doctor, "examined", said)
    config = written(tmp_path, {"api": DARK}, mode="paper")
    people, machines = (CliRunner().invoke(app, ["doctor", str(config), *more]) for more in ([], ["--json"]))
    assert (people.exit_code, people.stderr) == (1, "1 of 2 checks failed\n")
    assert people.stdout.splitlines() == ["ok       clock: fine", "failed   key: it is refused; make a new one"]
    assert [(each["check"], each["verdict"]) for each in json.loads(machines.stdout)] == [("clock", "ok"), ("key", "failed")]
