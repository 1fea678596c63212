"""Support: the program and the exchange as processes of their own, on real sockets.

Rule: nothing waits for a fixed time; what is waited for is a line of the log, an answer or an end, each with a deadline.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.loglines import judge

Line = Mapping[str, Any]

# Every process test runs with these, and no output of any of them may ever contain them.
KEY, SECRET = "canary-key-5b1f0c9d7e", "canary-secret-e07a44c2b6"
SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")

ROOT: Final = Path(__file__).parents[2]

# Two cores may be shared by several test processes; what takes a second alone may take ten beside them.
PATIENCE_S: Final = 30.0
STOP_S: Final = 3.0


class Program:
    """A running `rebalanced`, or what `program` (a module and its first arguments) makes of it.

    Its stdout is read line by line as it comes, its stderr when it is asked for.
    """

    def __init__(
        self, *arguments: str | Path, folder: Path, environ: Mapping[str, str] | None = None, program: Sequence[str] = ("daemon",)
    ) -> None:
        self.arguments = tuple(map(str, arguments))
        self.lines: list[Line] = []
        self.output: list[str] = []
        self._news = threading.Condition()
        self._stderr = (folder / f"stderr-{time.monotonic_ns()}").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", *program, *self.arguments],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), **environment(environ)},  # programs of the tests are not installed
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        said = "".join(self.output) + self.stderr
        self._stderr.close()
        assert KEY not in said, "the API key is in the output"
        assert SECRET not in said, "the secret is in the output"

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for text in pipe:
                with self._news:
                    self.output.append(text)
                    if text.startswith("{"):
                        self.lines.append(json.loads(text))
                        if "event" in self.lines[-1]:  # the venue tells where it is, and that is no line of a log
                            judge(self.lines[-1])
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        self._stderr.flush()
        return Path(self._stderr.name).read_text()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self, event: str = "", *, since: int = 0, where: Callable[[Line], bool] = lambda _: True, within: float = PATIENCE_S) -> Line:
        """The first line of `event` from position `since` on for which `where` holds, as soon as it is there."""
        deadline, at = time.monotonic() + within, since
        with self._news:
            while True:
                for line in self.lines[at:]:
                    at += 1
                    if event in ("", line.get("event")) and where(line):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or (not self._reader.is_alive() and at == len(self.lines)):
                    raise AssertionError(f"{event} did not come within {within:g} s; {self.story()}")
                self._news.wait(min(left, 0.5))

    def count(self, event: str) -> int:
        """How many lines of `event` there are."""
        return sum(1 for line in self.lines if line.get("event") == event)

    def complaints(self) -> list[Line]:
        """The lines that are more than information."""
        return [line for line in self.lines if line.get("level") in ("warning", "error")]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self, within: float = PATIENCE_S, at: str = "by itself") -> int:
        """Wait until it has ended; its exit code. `at` is where it should, for people."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended {at} within {within:g} s; {self.story()}") from None
        self._reader.join()
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = STOP_S) -> None:
        """Stop it in order: exit code 0 in time."""
        self.send(number)
        code = self.end(within)
        assert code == 0, f"exit code {code}; {self.story()}"

    def kill(self) -> None:
        """SIGKILL; harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def story(self) -> str:
        """What a failed test has to show."""
        tail = "".join(self.output[-25:])
        return f"{' '.join(self.arguments)}: exit {self._process.poll()}\n{tail}\n{self.stderr}"


class Venue(Program):
    """`rebalanced venue` as a process, on a free port unless given; ready when the constructor returns."""

    def __init__(
        self, *options: str, folder: Path, port: int = 0, within: float = PATIENCE_S, program: Sequence[str] = ("daemon", "venue")
    ) -> None:
        super().__init__("--port", str(port), "--key", KEY, "--secret", SECRET, *options, folder=folder, program=program)
        said = self.wait(within=within)
        self.url: str = said["url"]
        self.urls: Mapping[str, Any] = said["urls"]

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return httpx.get(self.url + path, timeout=10, trust_env=False).raise_for_status().json()

    def post(self, path: str, **values: object) -> Any:
        """Send `values` to `path`; the JSON that answers."""
        return httpx.post(self.url + path, json=values, timeout=10, trust_env=False).raise_for_status().json()

    def mend(self) -> None:
        """Lift all faults."""
        httpx.delete(self.url + "/venue/faults", timeout=10, trust_env=False).raise_for_status()

    def state(self) -> Line:
        """Everything it has booked."""
        state: Line = self.get("/venue/state")
        return state

    def rules(self) -> dict[str, tuple[float, float]]:
        """Amount step and least notional by symbol, BASE/QUOTE."""
        found = {}
        for market in self.get("/api/v3/exchangeInfo")["symbols"]:
            filters = {each["filterType"]: each for each in market["filters"]}
            sizes = float(filters["LOT_SIZE"]["stepSize"]), float(filters["NOTIONAL"]["minNotional"])
            found[f"{market['baseAsset']}/{market['quoteAsset']}"] = sizes
        return found


class Daemon(Program):
    """`rebalanced run` as a process; `program` is what runs it."""

    def __init__(self, config: Path, environ: Mapping[str, str] | None = None, program: Sequence[str] = ("daemon", "run")) -> None:
        super().__init__(config, folder=config.parent, environ=environ, program=program)

    def url(self) -> str:
        """Where its API listens, once it does."""
        url: str = self.wait("daemon.starting")["api"]
        return url

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON that its API answers at `path`."""
        answer = httpx.get(self.url() + path, timeout=5, trust_env=False)
        return answer.status_code, answer.json()

    def settled(self, waves: int = 1, *, since: int = 0, sent: int = 0, within: float = PATIENCE_S) -> Line:
        """The line of the `waves`-th wave from `since` on that sent at least `sent` orders."""
        left = iter(range(waves - 1, -1, -1))
        return self.wait("wave.settled", since=since, where=lambda line: line["sent"] >= sent and next(left) == 0, within=within)

    def planned(self, *, within: float = PATIENCE_S) -> Line:
        """The first plan that sends something, as soon as it is made."""
        return self.wait("plan.made", where=lambda line: bool(line["orders"]), within=within)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the program sees of the environment: the keys, and nothing of a supervisor around the tests."""
    ours = re.compile(r"REBALANCED|NOTIFY_SOCKET|WATCHDOG_|STATE_DIRECTORY|CREDENTIALS_DIRECTORY")
    inherited = {name: value for name, value in os.environ.items() if not ours.match(name)}
    return {**inherited, "KEY": KEY, "SECRET": SECRET, **(more or {})}


def written(folder: Path, venue: Venue | str, *, mode: str = "sandbox", every: int = 1, **sections: Any) -> Path:
    """A configuration file that leads to `venue` and trades four symbols on bars of a second; `sections` replace whole sections."""
    urls = venue.urls["api"] if isinstance(venue, Venue) else addresses(venue)
    strategy = {
        "name": "momo",
        "use": "portfolio_momentum",
        "schedule": {"every": every, "at_start": True},
        # A short memory changes its mind often, which is what the tests want to see; 80 bars are its warm-up.
        "params": {"lookback": 5, "rsi_period": 2, "top": 2},
    }
    content: dict[str, Any] = {
        "name": "momo",
        "mode": mode,
        "live": {"i_understand": mode == "live"},
        "exchange": {"id": "binance", "ccxt": {"urls": {"test" if mode == "sandbox" else "api": urls}}},
        "universe": {"quote": "USDT", "symbols": list(SYMBOLS)},
        "timeframe": "1s",
        "strategies": [strategy],
        "reconcile": {"every": "2s"},
        "journal": {"path": "momo.sqlite"},
        "api": {"port": 0},
    }
    if mode != "paper":
        content["exchange"]["credentials"] = {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}
    path = folder / "momo.yaml"
    path.write_text(json.dumps(content | sections))  # JSON is YAML
    return path


def several(folder: Path, venues: Mapping[str, Venue], *, mode: str = "sandbox", **sections: Any) -> Path:
    """A configuration file with an account at each of these, each traded on by a strategy of its own; the first one's is `momo`."""
    path = written(folder, "http://127.0.0.1:9", mode=mode)
    content = json.loads(path.read_text())
    keys = {} if mode == "paper" else {"credentials": content.pop("exchange")["credentials"]}
    content.pop("exchange", None)
    side = "test" if mode == "sandbox" else "api"
    content["accounts"] = [
        {"name": name, "id": "binance", "ccxt": {"urls": {side: venue.urls["api"]}}, **keys} for name, venue in venues.items()
    ]
    (strategy,) = content["strategies"]
    content["strategies"] = [{**strategy, "name": f"momo-{name}", "account": name} for name in venues]
    path.write_text(json.dumps(content | sections))
    return path


def addresses(url: str) -> dict[str, Any]:
    """The least that addresses a server of Binance's protocol at `url`."""
    ws = url.replace("http", "ws", 1)
    return {
        "public": f"{url}/api/v3",
        "private": f"{url}/api/v3",
        "ws": {"spot": f"{ws}/stream", "ws-api": {"spot": f"{ws}/ws-api/v3"}},
    }


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def asked(*arguments: str | Path, folder: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end."""
    command: Sequence[str | Path] = [sys.executable, "-m", "daemon", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(environ), capture_output=True, text=True, timeout=PATIENCE_S)
