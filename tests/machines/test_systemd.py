"""The service on a real systemd: a fresh Debian, the README's commands, and what happens to a daemon in the years after."""

import json
import re
from typing import Any, Final

import pytest

from tests.machines.conftest import commands
from tests.machines.machine import Machine, lacking, patiently

REASON: Final = lacking(mmdebstrap="mmdebstrap", systemd_nspawn="systemd-container", nsenter="util-linux")
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

REBALANCED: Final = "/opt/rebalanced/bin/rebalanced"
CANARY: Final = "cAnArY-0123456789abcdef"
SERVICE, HOOK = "rebalanced@momo.service", "http://127.0.0.1:8901"
REST, STREAM = "http://127.0.0.1:8900/api/v3", {"spot": "ws://127.0.0.1:8900/stream", "ws-api": {"spot": "ws://127.0.0.1:8900/ws-api/v3"}}
URLS: Final = {"public": REST, "private": REST, "ws": STREAM}
CONFIG: Final[dict[str, Any]] = {
    "name": "momo",
    "mode": "sandbox",
    "exchange": {
        "id": "binance",
        "ccxt": {"urls": {"api": URLS, "test": URLS}},
        "credentials": {"api_key": {"credential": "api-key"}, "secret": {"credential": "api-secret"}},
    },
    "universe": {"quote": "USDT", "symbols": ["BTC/USDT", "ETH/USDT"]},
    "timeframe": "1s",
    "strategies": [
        {
            "name": "momo",
            "use": "portfolio_momentum",
            "schedule": {"every": 5, "at_start": True},
            "params": {"lookback": 5, "rsi_period": 2, "top": 2},
        }
    ],
    "api": {"port": 8788, "token": {"credential": "token"}},
    "alerts": [{"webhook": {"credential": "webhook"}}],
}
TEN_MINUTES_S: Final = 600.0
# Whoever is told: each body becomes a line of a file.
LISTENER: Final = """
import http.server
class Ear(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) == length:  # a sender that is ended leaves a part
            with open("/root/told", "ab") as told:
                told.write(body + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8901), Ear).serve_forever()
"""


def about(machine: Machine, unit: str, name: str) -> str:
    return machine.must(f"systemctl show --value -p {name} {unit}").strip()


def lines(machine: Machine, unit: str = SERVICE) -> list[str]:
    return machine.must(f"journalctl -u {unit} -o cat _TRANSPORT=stdout").splitlines()


def events(machine: Machine, event: str) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in lines(machine) if line.startswith("{")]
    return [line for line in said if line["event"] == event]


def next_event(machine: Machine, event: str, count: int) -> None:
    """Wait until the event has been said once more than it had been."""
    patiently(lambda: len(events(machine, event)) > count, 120)


def told(machine: Machine) -> list[dict[str, Any]]:
    path = machine.root / "root/told"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def whole(machine: Machine) -> None:
    """The journal of the service has every row as it was written."""
    machine.must(f"STATE_DIRECTORY=/var/lib/private/rebalanced/momo {REBALANCED} journal verify /etc/rebalanced/momo.yaml")


@pytest.fixture(scope="module")
def listening(machine: Machine) -> Machine:
    """The machine with an exchange, by the README's commands where none can be reached, and with somebody who is told."""
    (machine.root / "etc/systemd/system/ear.service").write_text("[Service]\nExecStart=/usr/bin/python3 /root/ear.py\n")
    for name, content in {"ear.py": LISTENER, "momo.yaml": json.dumps(CONFIG), "key": "venue-key", "secret": "venue-secret"}.items():
        (machine.root / "root" / name).write_text(content)
    (machine.root / "root/hook").write_text(f"{HOOK}/{CANARY}")
    machine.must("systemctl daemon-reload && systemctl start ear")
    for command in commands("## As a service", 1):
        machine.step(command)
    patiently(lambda: machine.does("bash -c '(echo > /dev/tcp/127.0.0.1/8900) && (echo > /dev/tcp/127.0.0.1/8901)'").returncode == 0, 60)
    return machine


@pytest.fixture(scope="module")
def service(listening: Machine) -> Machine:
    """The service that trades there."""
    machine = listening
    given = " ".join(
        f"--credential {name}=/root/{file}" for name, file in (("api-key", "key"), ("api-secret", "secret"), ("webhook", "hook"))
    )
    machine.must(f"{REBALANCED} install-service momo /root/momo.yaml {given}")
    return machine


def test_the_readme_leads_to_a_service(listening: Machine) -> None:
    """On a fresh Debian its commands end in a service that trades, a timer, a dashboard with a token and alerts, within ten minutes."""
    machine, (install, alert) = listening, commands("## As a service")[-2:]
    machine.step(f"{install} --credential webhook=/root/hook")  # on a terminal it asks
    assert about(machine, "rebalanced@paper.service", "ActiveState") == "active"
    assert about(machine, "rebalanced-backup@paper.timer", "ActiveState") == "active"
    machine.step(alert)
    assert "alert.test" in {each["event"] for each in told(machine)}
    assert "healthy" in machine.must(f"{REBALANCED} health --config /etc/rebalanced/paper.yaml")
    page = machine.must("python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:8787').read().decode())\"")
    assert "<title>" in page
    patiently(lambda: json.loads(machine.must(f"{REBALANCED} fills --json --config /etc/rebalanced/paper.yaml")), 120)
    patiently(lambda: "daemon.ready" in {each["event"] for each in told(machine)}, 60)
    assert "pause" in machine.must(f"{REBALANCED} pause --config /etc/rebalanced/paper.yaml")
    machine.must(f"{REBALANCED} uninstall-service paper")
    assert about(machine, "rebalanced@paper.service", "ActiveState") == "inactive"
    for command, took_s, used_s in machine.steps:
        print(f"{took_s:6.1f} s, {used_s:6.1f} s of a processor: {command}")  # noqa: T201 - pytest -s shows it
    assert sum(used_s for _, _, used_s in machine.steps) < TEN_MINUTES_S, "whatever else this machine does meanwhile"


def test_it_is_active_once_it_says_so(service: Machine) -> None:
    """Type=notify: the start ends with READY=1, the status line is the daemon's own, and every line of the log is JSON."""
    assert about(service, SERVICE, "ActiveState") == "active"
    next_event(service, "daemon.ready", 0)
    patiently(lambda: "running" in about(service, SERVICE, "StatusText"), 60)
    next_event(service, "order.filled", 0)
    assert [line for line in lines(service) if not line.startswith("{")] == []


def test_systemd_has_nothing_to_say(service: Machine) -> None:
    """Verify is clean for the installed units, and little is exposed."""
    done = service.does(f"systemd-analyze verify --man=no {SERVICE} rebalanced-backup@momo.timer rebalanced-alert@momo.service")
    assert (done.returncode, [line for line in done.stderr.splitlines() if "rebalanced" in line]) == (0, [])
    for unit in (SERVICE, "rebalanced-backup@momo.service", "rebalanced-alert@momo.service"):
        exposure = re.search(r"exposure level for \S+: ([\d.]+)", service.must(f"systemd-analyze security --no-pager {unit}"))
        assert exposure is not None
        assert float(exposure[1]) <= 1.2


def test_h3_nothing_of_a_key_is_to_be_seen(service: Machine) -> None:
    """Environment and command line of the process have no secret, nor has the log, and it may write no core."""
    pid = about(service, SERVICE, "MainPID")
    seen = service.must(f"tr '\\0' '\\n' < /proc/{pid}/environ; tr '\\0' ' ' < /proc/{pid}/cmdline") + "\n".join(lines(service))
    assert [secret for secret in ("venue-key", "venue-secret", CANARY) if secret in seen] == []
    assert re.search(r"Max core file size +0 +0", service.must(f"cat /proc/{pid}/limits"))
    assert [each for each in told(service) if CANARY in json.dumps(each)] == []


def test_a_second_install_disturbs_nothing(service: Machine) -> None:
    """The same process goes on; after an upgrade the daemon is ended in order and started anew."""
    pid = about(service, SERVICE, "MainPID")
    again = f"{REBALANCED} install-service momo /etc/rebalanced/momo.yaml"
    assert ": written" not in service.must(again)
    assert about(service, SERVICE, "MainPID") == pid
    (drop_in,) = (service.root / "etc/systemd/system").glob(f"{SERVICE}.d/10-instance.conf")
    drop_in.write_text(drop_in.read_text().replace("Of rebalanced ", "Of rebalanced 0.0.0, before "))
    ends = len(events(service, "daemon.stopped"))
    assert service.must(again).count(": written") == 1
    assert about(service, SERVICE, "MainPID") != pid
    assert len(events(service, "daemon.stopped")) == ends + 1
    whole(service)


def test_f4_a_reload_reads_the_file_again(service: Machine) -> None:
    """A right file is taken up, a wrong one changes nothing, and the process is the same."""
    pid, config = about(service, SERVICE, "MainPID"), service.root / "etc/rebalanced/momo.yaml"
    next_event(service, "daemon.ready", 1)
    right = config.read_text()
    for text, event in ((right, "config.reloaded"), (right.replace('"lookback"', '"lookbak"'), "config.refused")):
        count = len(events(service, event))
        config.write_text(text)
        service.must(f"systemctl reload {SERVICE}")
        next_event(service, event, count)
    config.write_text(right)
    assert (about(service, SERVICE, "MainPID"), about(service, SERVICE, "ActiveState")) == (pid, "active")


def test_a_blocked_loop_is_ended_and_started_anew(service: Machine) -> None:
    """Stopped by SIGSTOP it feeds no watchdog: systemd aborts it, Python says where it stood, and the next one goes on from the journal."""
    folder = service.root / f"etc/systemd/system/{SERVICE}.d"
    (folder / "override.conf").write_text("[Service]\nWatchdogSec=6\nRestartSec=1\n")
    service.must(f"systemctl daemon-reload && systemctl restart {SERVICE}")
    ready = len(events(service, "daemon.ready"))
    service.must(f"kill -STOP {about(service, SERVICE, 'MainPID')}")
    patiently(lambda: about(service, SERVICE, "NRestarts") == "1", 120)
    next_event(service, "daemon.ready", ready)
    said = service.must(f"journalctl -u {SERVICE} -o cat")
    assert [words for words in ("Watchdog timeout", "Fatal Python error: Aborted") if words not in said] == []
    assert about(service, SERVICE, "ActiveState") == "active"
    (folder / "override.conf").unlink()
    whole(service)


def test_the_journal_is_copied_beside_the_daemon(service: Machine) -> None:
    """The unit that the timer starts every night leaves a copy that is whole; the timer is enabled and waits."""
    service.must("systemctl start rebalanced-backup@momo.service")
    (copy,) = (service.root / "var/lib/private/rebalanced/momo/backup").glob("*.sqlite")
    service.must(f"cp {'/' / copy.relative_to(service.root)} /root/copy.sqlite")
    assert "ok" in service.must(
        "python3 -c \"import sqlite3; print(sqlite3.connect('/root/copy.sqlite').execute('pragma quick_check').fetchone()[0])\""
    )
    assert service.must("systemctl is-enabled rebalanced-backup@momo.timer").strip() == "enabled"


def test_a_stop_is_in_order(service: Machine) -> None:
    """It ends by itself with code 0, no order is left, and the journal is whole."""
    service.must(f"systemctl stop {SERVICE}")
    assert (about(service, SERVICE, "Result"), about(service, SERVICE, "ExecMainStatus")) == ("success", "0")
    assert [event for event in ("daemon.stopping", "daemon.none_open", "daemon.stopped") if not events(service, event)] == []
    whole(service)


def test_f6_what_cannot_be_cured_is_told_and_not_restarted(service: Machine) -> None:
    """A wrong file ends with 78, once, and a person is told by the unit beside it as soon as the file can be read."""
    config = service.root / "etc/rebalanced/momo.yaml"
    right = config.read_text()
    before = len(told(service))
    config.write_text(right.replace('"lookback"', '"lookbak"'))
    assert service.does(f"systemctl start {SERVICE}").returncode != 0
    config.write_text(right)
    patiently(lambda: about(service, SERVICE, "ActiveState") == "failed", 60)
    assert (about(service, SERVICE, "ExecMainStatus"), about(service, SERVICE, "NRestarts")) == ("78", "0")
    service.must("systemctl start rebalanced-alert@momo.service")
    patiently(lambda: any(each["event"] == "service.failed" for each in told(service)[before:]), 60)
