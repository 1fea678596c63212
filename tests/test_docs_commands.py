"""Whatever the documents tell to type was typed: by these tests, or where the tag above it says.

A block of commands has a line `<!-- runs here -->` above it, `<!-- runs in tests/... -->`, or `<!-- runs on ... -->` with what it takes.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.markdown import ROOT, Block, blocks, documents, inline
from tests.process.support import environment, free_port
from tests.test_cli_manners import EVERY

HERE = "here"
LANGUAGES = {"", "sh", "json", "jsonl", "mermaid", "python", "text", "yaml"}
SHELL = [block for page in documents() for block in blocks(page) if block.is_shell]
PATIENCE_S = 180


def test_every_block_says_what_it_is() -> None:
    """A block that is nothing to type names its language, so that none which is can hide."""
    found = [block for page in documents() for block in blocks(page)]
    assert {block.language for block in found} <= LANGUAGES
    assert len(SHELL) > 20


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_is_run_or_says_where(block: Block) -> None:
    """A block of commands is run here, by a test that it names, or on a machine that it describes."""
    assert block.runs, f"{block}: nobody has run this"
    if block.runs.startswith("in "):
        assert (ROOT / block.runs.removeprefix("in ")).is_file(), block.runs
    else:
        assert block.runs == HERE or block.runs.startswith("on "), block.runs


def run(text: str, folder: Path) -> None:
    """Type it into a shell in which `rebalanced` is found, and which ends at the first command that fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = f"set -euo pipefail -m\n{text}\n"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**environment(), "PATH": path}, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in SHELL if block.runs == HERE}), ids=lambda page: page.name)
def test_what_a_page_has_one_type_works(page: Path, tmp_path: Path) -> None:
    """The commands of a page, one block after the other in one directory, all end well."""
    port = str(free_port())
    for block in blocks(page):
        if block.is_shell and block.runs == HERE:
            run(block.text.replace("8900", port), tmp_path)


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The demo as it stands, on a port of its own; its address."""
    port = free_port()
    with (folder / "demo.log").open("w+b") as log:
        program = [sys.executable, "-m", "daemon", "demo"]
        started = subprocess.Popen(
            program, cwd=folder, env=environment({"REBALANCED__API__PORT": str(port)}), stdout=log, stderr=subprocess.STDOUT
        )
    url, ends = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_S
    try:
        while '"wave.settled"' not in (told := (folder / "demo.log").read_text()) and "wave.settled" not in told:
            assert started.poll() is None, told[-2000:]
            assert time.monotonic() < ends, told[-2000:]
            time.sleep(0.2)
        yield url
    finally:
        started.terminate()
        assert started.wait(PATIENCE_S) == 0


def about_the_demo() -> Iterator[str]:
    """What pages have one type beside the demo, but for what begins it, and for `top`, which ends when a person says so."""
    for block in SHELL:
        if block.runs == f"in tests/{Path(__file__).name}":
            for line in block.text.replace("\\\n", " ").splitlines():
                if not re.search(r"^make run|rebalanced demo|rebalanced top", line):
                    yield line


@pytest.mark.slow
def test_the_demo_is_read_and_commanded_as_the_pages_say(tmp_path: Path) -> None:
    """Beside a demo, what README and the first pages have one type shows it and has an effect."""
    lines = list(about_the_demo())
    assert len(lines) >= 6
    with demo(tmp_path) as url:
        for line in lines:
            typed = line.replace(".venv/bin/rebalanced", "rebalanced").replace("localhost:8787", url.removeprefix("http://"))
            typed = re.sub(r"rebalanced (\w+.*)$", rf"rebalanced \1 --url {url}", typed)
            run(f"export REBALANCED_TOKEN=demo\n{typed}", tmp_path)
        status = httpx.get(f"{url}/api/v1/status", trust_env=False).json()
    assert status["state"] == "paused"


def typed() -> Iterator[tuple[str, str]]:
    """Every `rebalanced VERB ...` of the documents with where it stands: in the text, or a line of a block."""
    for page in documents():
        for text in inline(page):
            if text.startswith("rebalanced "):
                yield page.name, text
        for block in blocks(page):
            if block.is_shell:
                for found in re.finditer(r"(?:^|[/ ])rebalanced ((?:[^|>&\n\\]|\\\n)+)", block.text):
                    if not block.text[: found.start()].endswith(("-t", "rebalanced exec", "/lib")) and "docker" not in block.text:
                        yield str(block), f"rebalanced {found[1]}"


def test_every_verb_and_option_in_the_documents_is_there() -> None:
    """What the documents have one type is a verb of the program, and its options are options of that verb."""
    found = list(typed())
    assert len(found) > 60
    wrong = [f"{where}: {text}" for where, text in found if not known(text)]
    assert wrong == []


def known(text: str) -> bool:
    """Whether a command is one of the program's, options included; `rebalanced[extra]` and a bare option of the program pass."""
    words = text.split()[1:]
    if words[0].startswith(("-", "VERB")):
        return words[0] in ("--install-completion", "--show-completion", "--version", "--help", "VERB")
    verb = next((EVERY[name] for name in (" ".join(words[:2]), words[0]) if name in EVERY), None)
    options = {word.split("=")[0].strip("[]") for word in words if word.strip("[]").startswith("--")}
    return verb is not None and options <= {name for option in verb.params for name in option.opts}


def test_a_verb_that_is_not_there_is_found() -> None:
    """A verb and an option that the program does not have are told from those that it has."""
    assert known("rebalanced journal verify CONFIG")
    assert not known("rebalanced fly CONFIG")
    assert not known("rebalanced check CONFIG --wings")


def test_every_target_in_the_documents_is_there() -> None:
    """`make X` in the documents is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    texts = [
        (page.name, text) for page in documents() for text in (*inline(page), *(block.text for block in blocks(page) if block.is_shell))
    ]
    named = [(name, found) for name, text in texts for found in re.findall(r"(?:^|\n|sudo )make ([a-z]+)", text)]
    assert len(named) > 20
    assert [f"{name}: make {target}" for name, target in named if target not in targets] == []
