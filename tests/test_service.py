"""The unit of the service: what systemd is told to restart, to bound and to keep apart; the program's own words must agree with it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from daemon.app import STOP_S

UNITS: Final = Path(__file__).parents[1] / "systemd"
UNIT: Final = (UNITS / "rebalanced@.service").read_text(encoding="utf-8")
SERVICES: Final = sorted(path.name for path in UNITS.glob("*.service"))
ANALYZE: Final = shutil.which("systemd-analyze")

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here: apt-get install systemd")


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ANALYZE), *arguments], capture_output=True, text=True)


def setting(name: str) -> str:
    """The value of a directive that stands once."""
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(value)


def test_f6_what_cannot_be_cured_is_not_restarted() -> None:
    """Five failures in ten minutes end the attempts, and mistakes of the user are not tried again at all."""
    assert (setting("Restart"), setting("StartLimitIntervalSec"), setting("StartLimitBurst")) == ("on-failure", "600", "5")
    assert set(setting("RestartPreventExitStatus").split()) == {"2", "65", "75", "77", "78"}
    assert int(setting("RestartSec")) >= 5


def test_f3_systemd_waits_longer_than_a_stop_takes() -> None:
    """The daemon's own deadline comes first, with room for closing what is open."""
    assert int(setting("TimeoutStopSec")) >= 2 * STOP_S


@pytest.mark.parametrize("bound", ["MemoryMax", "MemoryHigh", "TasksMax", "LimitNOFILE"])
def test_e12_what_grows_without_end_is_ended(bound: str) -> None:
    """Memory, tasks and files have a bound, so that a leak costs this service and not the machine."""
    assert re.match(r"[1-9]\d*M?$", setting(bound))


def test_h3_no_core_holds_a_key() -> None:
    """No core file is written, and keys come by credentials and not by the environment."""
    assert setting("LimitCORE") == "0"
    assert "Environment=" in UNIT
    assert not re.search(r"^Environment=.*(KEY|SECRET)", UNIT, re.MULTILINE)
    assert len(re.findall(r"^LoadCredential=", UNIT, re.MULTILINE)) == 2


def test_a_failure_is_told_by_another_unit() -> None:
    """What ends the attempts for good starts the unit that tells a person, and SIGHUP is what a reload sends."""
    assert setting("OnFailure") == "rebalanced-alert@%i.service"
    assert setting("ExecReload") == "/bin/sh -c 'kill -HUP $MAINPID'"
    assert "alert-test --failed /etc/rebalanced/%i.yaml" in (UNITS / "rebalanced-alert@.service").read_text(encoding="utf-8")
    assert "journal backup /etc/rebalanced/%i.yaml" in (UNITS / "rebalanced-backup@.service").read_text(encoding="utf-8")


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_little_is_exposed(unit: str) -> None:
    """At most 1.2 by systemd's own count, where a unit that restricts nothing has 9.6."""
    told = analyzed("security", "--offline=true", "--threshold=12", UNITS / unit)
    assert told.returncode == 0, told.stdout + told.stderr


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """Verify has nothing to say to the units once the program is where they look for it."""
    for path in UNITS.iterdir():
        text = path.read_text(encoding="utf-8").replace("/opt/rebalanced/bin/rebalanced", "/bin/true")
        (tmp_path / path.name).write_text(text)
    named = [tmp_path / path.name.replace("@", "@momo") for path in UNITS.iterdir()]
    told = analyzed("verify", "--man=no", *named)
    ours = [line for line in (told.stdout + told.stderr).splitlines() if "rebalanced" in line]
    assert (told.returncode, ours) == (0, [])
