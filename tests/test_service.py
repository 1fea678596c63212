"""The unit of the service: what systemd is told to restart, to bound and to keep apart; the program's own words must agree with it."""

import re
from pathlib import Path
from typing import Final

import pytest

from daemon.app import STOP_S

UNIT: Final = (Path(__file__).parents[1] / "systemd" / "rebalanced@.service").read_text(encoding="utf-8")


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
