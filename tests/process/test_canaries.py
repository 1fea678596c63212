"""No verb, no answer and no file repeats a secret, at the loudest log level either.

Every process test looks for the keys in what the daemon prints; here everything else is gone through that a person could pass on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.io.api_routes import ROUTES
from daemon.research.arrow import parquet
from tests.process.support import KEY, SECRET, Daemon, Venue, free_port, written
from tests.research.files import stored

TOKEN, HOOK, BEAT = "canary-token-7c11", "canary-hook-90ab", "canary-beat-31ef"
CANARIES: Final = (KEY, SECRET, TOKEN, HOOK, BEAT)
ENVIRON: Final = {
    "KEY": KEY,
    "SECRET": SECRET,
    "TOKEN": TOKEN,
    "HOOK": f"http://127.0.0.1:9/{HOOK}",
    "BEAT": f"http://127.0.0.1:9/{BEAT}",
}


@pytest.fixture
def config(venue: Venue, tmp_path: Path) -> Path:
    """A configuration with every kind of secret, and the log at debug."""
    return written(
        tmp_path,
        venue,
        api={"port": free_port(), "token": {"env": "TOKEN"}},
        alerts=[{"webhook": {"env": "HOOK"}}],
        heartbeat={"url": {"env": "BEAT"}, "every": "1m"},
        logging={"level": "debug"},
    )


def said(*arguments: str | Path, code: int = 0) -> str:
    """All that a verb prints, which ends as it should: what failed early would have had little to tell."""
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments], env=ENVIRON)
    assert ended.exit_code == code, (arguments, ended.output, ended.exception)
    return ended.output


def clean(what: str, text: str) -> None:
    """No canary is in it."""
    assert [canary for canary in CANARIES if canary in text] == [], what


def answers(url: str) -> Iterator[tuple[str, str]]:
    """What the API tells whoever may ask, and who may not."""
    for route in ROUTES:
        if route.method == "GET" and route.name != "events":
            path = route.path.replace("{symbol}", "BTC/USDT").replace("{name}", "main.js")
            for headers in ({"Authorization": f"Bearer {TOKEN}"}, {}):
                answer = httpx.get(url + path, headers=headers, timeout=10, trust_env=False)
                yield path, f"{answer.headers} {answer.text}"


def test_no_verb_no_answer_and_no_file_repeats_a_secret(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor, check, plan, init, every reading verb, the journal's tools, reports, backtests, sweeps; and all files that came of them."""
    monkeypatch.chdir(tmp_path)
    data = stored(tmp_path / "data", 300, ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"))
    offline: list[tuple[str | Path, ...]] = [
        ("doctor", config),
        ("check", config),
        ("check", "--offline", config),
        ("plan", config),
        ("init", tmp_path / "first.yaml", "--symbols", "BTC ETH", "--mode", "live", "--i-understand"),
    ]
    for words in offline:
        clean(f"{words}", said(*words))
    clean("alert-test", said("alert-test", config, code=1))  # nobody listens there
    with Daemon(config, environ=ENVIRON) as daemon:
        daemon.settled(sent=1)
        for asked, text in answers(daemon.url()):
            clean(asked, text)
        for verb in ("status", "positions", "targets", "orders", "fills", "analysis", "trace", "why BTC", "pause", "reload"):
            clean(verb, said(*verb.split(), config))
        daemon.stop(within=30)
        clean("the log", "".join(daemon.output))
    journal: list[tuple[str | Path, ...]] = [
        ("journal", "verify", config),
        ("journal", "backup", config, tmp_path / "copy.sqlite"),
        ("journal", "export", config, "--out", tmp_path / "export"),
        ("journal", "export", config, "--out", tmp_path / "csv", "--format", "csv"),
        ("journal", "trades", config, "--out", tmp_path / "trades.csv"),
        ("journal", "replay", config),
    ]
    for words in journal:
        clean(f"{words}", said(*words))
    hourly = tmp_path / "hourly.yaml"
    hourly.write_text(json.dumps(json.loads(config.read_text()) | {"timeframe": "1h"}))
    clean("backtest", said("backtest", hourly, "--data", data, "--out", tmp_path / "out"))
    clean("report", said("report", tmp_path / "out"))
    clean("sweep", said("sweep", hourly, "strategies.momo.params.lookback=5,9", "--data", data, "--out", tmp_path / "swept"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in files:
        clean(str(path), content(path))
    assert {path.suffix for path in files} >= {".sqlite", ".html", ".parquet", ".csv", ".json", ".yaml"}


def content(path: Path) -> str:
    """A file as a text that a secret would show in; parquet is compressed."""
    if path.suffix == ".parquet":
        table: Any = parquet.read_table(path)
        return f"{table.schema.metadata} {table.to_pylist()}"
    return path.read_bytes().decode("latin-1")
