"""`rebalanced install-service`: what it puts where, what it refuses, and that a second time does nothing."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.config import load, resolve_secrets
from daemon.tools.service import UNITS, Program, units_of
from tests.oneprocess import written

SHIPPED: Final = Path(__file__).parents[1] / "systemd"
CANARY: Final = "cAnArY-0123456789abcdef"
SECTIONS: Final[dict[str, Any]] = {"journal": {}, "api": {"port": 8787, "token": {"credential": "token"}}}
OWN: Final = "from daemon.core.strategy import Strategy\n\nclass Mine(Strategy):\n    pass\n"


@pytest.fixture(autouse=True)
def _program_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service does not see the environment of a clone that lies in somebody's home."""
    monkeypatch.setattr(sys, "prefix", "/opt/rebalanced")
    monkeypatch.setattr(sys, "base_prefix", "/usr")


def configured(folder: Path, **sections: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return written(folder, {}, mode="paper", **(SECTIONS | sections))


def told(*words: str | Path) -> tuple[int, str]:
    """Exit code and words."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def installed(root: Path, config: Path, *words: str | Path, name: str = "momo") -> tuple[int, str]:
    return told("install-service", name, config, "--root", root, "--no-start", *words)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_everything_is_put_in_its_place(tmp_path: Path) -> None:
    """Units, configuration, drop-ins and a new token; what must be read by the service's user can be, what must not cannot."""
    code, said = installed(root := tmp_path / "image", configured(tmp_path))
    assert code == 0, said
    folder = root / "etc/systemd/system"
    assert {path.name for path in folder.iterdir()} == {*UNITS, "rebalanced@momo.service.d", "rebalanced-alert@momo.service.d"}
    assert "\nSocketBindAllow=\nSocketBindAllow=ipv4:tcp:8787\n" in (folder / "rebalanced@momo.service.d/10-instance.conf").read_text()
    assert stat.S_IMODE((root / "etc/rebalanced/momo.yaml").stat().st_mode) == 0o644
    token = root / "etc/rebalanced/credentials/momo.token"
    assert (stat.S_IMODE(token.stat().st_mode), len(token.read_text().strip()) >= 32) == (0o600, True)
    assert token.read_text().strip() not in said


def test_a_second_time_does_nothing(tmp_path: Path) -> None:
    """Not even the token is another; a file that was changed is put right, and only that is said to be written."""
    installed(root := tmp_path / "image", config := configured(tmp_path))
    before = contents(root)
    code, said = installed(root, config)
    assert (code, ": written" in said, contents(root)) == (0, False, before)
    (root / "etc/systemd/system/rebalanced@.service").write_text("old")
    code, said = installed(root, config)
    assert (code, said.count(": written"), contents(root)) == (0, 1, before)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """It says each step, also to somebody who is not root."""
    code, said = told("install-service", "momo", configured(tmp_path), "--root", root := tmp_path / "image", "--dry-run")
    assert (code, root.exists()) == (0, False)
    assert said.count("would be written") == 1 + 1 + len(UNITS) + 2


def test_without_root_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root is told what to do, and nothing is done."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    code, said = told("install-service", "momo", configured(tmp_path))
    assert (code, said.count("\n")) == (1, 1)
    assert "sudo" in said


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"api": {"token": {"env": "REBALANCED_TOKEN"}}}, "api.token is in an environment variable, which a service does not have"),
        ({"alerts": [{"webhook": {"file": "hook"}}]}, "alerts[0].webhook is in a file, which a service does not have"),
        ({"alerts": [{"webhook": f"https://hooks.example/{CANARY}"}]}, "alerts[0].webhook stands in a file that everybody"),
        ({"api": {"port": 0}}, "api.port is 0"),
        ({"journal": {"path": "/srv/journal.sqlite"}}, "journal.path is /srv/journal.sqlite"),
        ({"strategies": [{"name": "mine", "use": "../mine.py:Mine"}]}, "strategies.mine is in ../mine.py"),
        ({"heartbeat": {"url": {"credential": "beat"}}}, "add --credential beat=FILE"),
    ],
)
def test_what_a_service_cannot_have_is_refused(sections: dict[str, Any], part: str, tmp_path: Path) -> None:
    """One sentence that names the key, before anything is written; no secret in it."""
    (tmp_path / "mine.py").write_text(OWN)
    code, said = installed(root := tmp_path / "image", configured(tmp_path / "here", **sections))
    assert (code in {1, 78}, part in said, said.count("\n"), root.exists()) == (True, True, 1, False), said
    assert CANARY not in said


@pytest.mark.parametrize("hidden", ["/root/venv", "/home/ann/venv", "/run/user/1/venv", "/opt/with space"])
def test_a_program_that_a_service_does_not_see_is_refused(hidden: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit would fail at its first line; the sentence says where to install instead."""
    monkeypatch.setattr(sys, "prefix", hidden)
    code, said = installed(tmp_path / "image", configured(tmp_path))
    assert (code, said.count("\n"), hidden in said) == (1, 1, True)


@pytest.mark.parametrize("name", ["", "a b", "../x", "a@b", "x" * 49])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    """It becomes part of paths and units."""
    code, said = installed(tmp_path / "image", configured(tmp_path), name=name)
    assert (code, "cannot be the name" in said) == (1, True)


def test_a_credential_is_taken_from_a_file(tmp_path: Path) -> None:
    """Only root may read the copy, the alert unit gets what it needs, and the canary is in nothing else."""
    (tmp_path / "hook.txt").write_text(f"https://hooks.example/{CANARY}\n")
    config = configured(tmp_path, alerts=[{"webhook": {"credential": "webhook"}}])
    code, said = installed(root := tmp_path / "image", config, "--credential", f"webhook={tmp_path / 'hook.txt'}")
    assert (code, CANARY in said) == (0, False), said
    assert [path for path, content in contents(root).items() if CANARY.encode() in content] == ["etc/rebalanced/credentials/momo.webhook"]
    assert stat.S_IMODE((root / "etc/rebalanced/credentials/momo.webhook").stat().st_mode) == 0o600
    alert = (root / "etc/systemd/system/rebalanced-alert@momo.service.d/10-instance.conf").read_text()
    assert ("credentials/momo.webhook" in alert, "token" in alert) == (True, False)


def test_root_reads_the_credentials_of_a_service(tmp_path: Path) -> None:
    """`rebalanced status --config /etc/rebalanced/momo.yaml` is for a person, who has no $CREDENTIALS_DIRECTORY."""
    installed(root := tmp_path / "image", configured(tmp_path))
    config = load(root / "etc/rebalanced/momo.yaml", {})
    token = resolve_secrets(config, {}).token
    assert token is not None
    assert token.reveal() == (root / "etc/rebalanced/credentials/momo.token").read_text().strip()


def test_two_instances_share_no_port(tmp_path: Path) -> None:
    """The second is refused before it is written, and both stand beside each other at ports of their own."""
    root = tmp_path / "image"
    installed(root, configured(tmp_path))
    code, said = installed(root, configured(tmp_path / "b"), name="other")
    assert (code, "at which rebalanced@momo listens" in said) == (78, True)
    code, _ = installed(root, configured(tmp_path / "b", api={"port": 8788}), name="other")
    assert code == 0


def test_strategies_of_ones_own_come_along(tmp_path: Path) -> None:
    """The file that `use` names lies beside the installed configuration, which is as right as the one it was made from."""
    config = configured(tmp_path / "here", strategies=[{"name": "mine", "use": "./mine.py:Mine"}])
    (config.parent / "mine.py").write_text(OWN)
    code, said = installed(root := tmp_path / "image", config)
    assert code == 0, said
    assert (root / "etc/rebalanced/mine.py").read_text() == OWN
    load(root / "etc/rebalanced/momo.yaml", {})


def test_several_accounts_are_all_backed_up(tmp_path: Path) -> None:
    """The journal of each is copied by a line of its own."""
    code, said = installed(root := tmp_path / "image", SHIPPED.parent / "config/multi-exchange.yaml", "--dry-run")
    assert (code, "rebalanced-backup@momo.service.d" in said) == (0, True), said
    assert not root.exists()


def test_an_end_leaves_what_is_the_users(tmp_path: Path) -> None:
    """Units go with the last instance; configuration and credentials stay, and a second end is one sentence."""
    root = tmp_path / "image"
    installed(root, configured(tmp_path))
    if shutil.which("systemctl") is None:
        pytest.skip("systemctl is not here: apt-get install systemd")
    code, said = told("uninstall-service", "momo", "--root", root)
    assert code == 0, said
    assert sorted(contents(root)) == ["etc/rebalanced/credentials/momo.token", "etc/rebalanced/momo.yaml"]
    assert told("uninstall-service", "momo", "--root", root) == (1, "there is no service rebalanced@momo; installed are: none\n")


def test_a_program_elsewhere_may_run_from_there() -> None:
    """Path of the program and of a Python of its own are in what the units start and let be executed."""
    unit = units_of(SHIPPED, Program("/srv/trading/env", "/opt/python3.13"))["rebalanced@.service"]
    assert "\nExecStart=/srv/trading/env/bin/rebalanced run /etc/rebalanced/%i.yaml\n" in unit
    assert "\nExecPaths=/srv/trading/env /opt/python3.13 /usr" in unit
    assert "/opt/rebalanced" not in unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here: apt-get install systemd")
def test_systemd_understands_what_is_installed(tmp_path: Path) -> None:
    """Verify has nothing to say to units and drop-ins together, as install-service leaves them."""
    installed(root := tmp_path / "image", configured(tmp_path))
    folder = root / "etc/systemd/system"
    for path in [folder / unit for unit in UNITS]:
        path.write_text(path.read_text().replace("/opt/rebalanced/bin/rebalanced", "/bin/true"))
        path.rename(folder / path.name.replace("@", "@momo"))
    named = [folder / unit.replace("@", "@momo") for unit in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *named], capture_output=True, text=True)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "momo" in line]
    assert (done.returncode, ours) == (0, [])
