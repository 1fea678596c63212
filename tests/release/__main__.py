"""`make release`: wheel and sdist are built, tried where nothing else is installed, and the bill of materials is written.

Rule: what is tried is what would be published, with the versions of the lock and nothing of the clone in reach.
"""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from daemon import __version__
from tests.release.changelog import problems
from tests.release.lock import LOCK, ROOT, packages
from tests.release.sbom import bill
from tests.research.files import configured, stored

DIST: Final = ROOT / "dist"
SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
WAVE_S: Final = 120.0


def say(text: str) -> None:
    """One line for who waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str | Path, folder: Path) -> str:
    """What a command has said. SystemExit: it has failed; all it said is shown."""
    done = subprocess.run(command, cwd=folder, env=_environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} has ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours in reach."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LANG", "LC_"))}
    return {**kept, "PATH": os.defpath, "HOME": str(folder), "SOURCE_DATE_EPOCH": "0"}


def build(into: Path) -> tuple[Path, Path]:
    """Wheel and sdist of the tree as it is."""
    run(sys.executable, "-m", "hatchling", "build", "-d", into, folder=ROOT)
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return wheel, sdist


def rebuilt(sdist: Path, folder: Path) -> Path:
    """The wheel that the sdist makes where there is no clone."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = (path for path in folder.iterdir() if path.is_dir())
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "wheel", folder=tree)
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel


def content(wheel: Path) -> dict[str, bytes]:
    """Every file of a wheel."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def installed(wheel: Path, folder: Path) -> Path:
    """An environment with the locked versions and the wheel, and nothing else; the program in it."""
    run(sys.executable, "-m", "venv", folder / "env", folder=folder)
    pip: Sequence[str | Path] = (folder / "env/bin/pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", LOCK, folder=folder)
    run(*pip, "--no-deps", wheel, folder=folder)
    run(folder / "env/bin/pip", "check", folder=folder)
    return folder / "env/bin/rebalanced"


def tried(program: Path, folder: Path) -> None:
    """It knows its version, checks, backtests and trades. SystemExit: it does not."""
    version = run(program, "--version", folder=folder).strip()
    if __version__ not in version:
        raise SystemExit(f"the installed program says {version}, and this tree is {__version__}")
    say(f"  {version}")
    config = configured(folder, SYMBOLS, strategies=[{"name": "equal", "use": "equal_weight", "schedule": {"every": 24}}])
    run(program, "check", "--offline", config, folder=folder)
    data = stored(folder / "data", 400, SYMBOLS)
    run(program, "backtest", config, "--data", data, "--out", folder / "out", folder=folder)
    if not (folder / "out/report.html").stat().st_size:
        raise SystemExit("the backtest has written no report")
    say("  it checks a configuration and backtests")
    trades(program, folder)


def trades(program: Path, folder: Path) -> None:
    """The demo comes to a wave, shows its page, and stops in order."""
    with (folder / "demo.log").open("w+b") as log:
        demo = subprocess.Popen([program, "demo"], cwd=folder, env=_environment(folder), stdout=log, stderr=subprocess.STDOUT)
        try:
            ends = time.monotonic() + WAVE_S
            while "wave.settled" not in (told := (folder / "demo.log").read_text()):
                if demo.poll() is not None or time.monotonic() > ends:
                    raise SystemExit(f"the demo has not come to a wave:\n{told[-4000:]}")
                time.sleep(0.2)
            with urllib.request.urlopen("http://127.0.0.1:8787/static/plotly.min.js", timeout=10) as page:
                if page.status != 200:
                    raise SystemExit("the dashboard's files are not in the wheel")
            demo.send_signal(signal.SIGINT)
            if demo.wait(30):
                raise SystemExit(f"the demo ended with {demo.returncode}:\n{(folder / 'demo.log').read_text()[-4000:]}")
        finally:
            demo.kill()
            demo.wait()
    say("  it trades, shows its page and stops")


def main() -> None:
    """Everything in its order."""
    shutil.rmtree(DIST, ignore_errors=True)
    wheel, sdist = build(DIST)
    say(f"built {wheel.name} and {sdist.name}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if content(rebuilt(sdist, folder)) != content(wheel):
            raise SystemExit(f"the wheel that {sdist.name} makes is not {wheel.name}")
    say("the sdist makes the same wheel")
    with tempfile.TemporaryDirectory() as name:
        say("installing it with the locked versions where there is nothing else")
        tried(installed(wheel, Path(name)), Path(name))
    path = DIST / f"rebalanced-{__version__}.cdx.json"
    path.write_text(bill(__version__, packages(LOCK.read_text(encoding="utf-8"))), encoding="utf-8")
    say(f"wrote {path.name}")
    if found := list(problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)):
        raise SystemExit("\n".join(f"CHANGELOG.md: {problem}" for problem in found))
    say(f"dist/ holds version {__version__}{', which is one of development' if '.dev' in __version__ else ''}")


if __name__ == "__main__":
    main()
