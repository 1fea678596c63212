"""The rules of the house, read off the source: which way imports run, what core must not know, and manners.

Each rule is a function from modules to offences, `path:line what`. Every rule is tried twice: on the tree, where it must find nothing, and
on a planted offence, which it must find.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
OURS: Final = ("daemon", "strategies")

# What a layer may import of ours. A name covers what lies below it, except `daemon` itself, which is the version and nothing more.
MAY_IMPORT: Final = {
    "daemon.core": {"daemon.core"},
    "strategies": {"daemon.core"},
    "daemon.io": {"daemon", "daemon.core", "daemon.io"},
    "daemon.venue": {"daemon", "daemon.venue"},
}
# Inside core, a module imports from the lines above its own. A new module of core gets its place here.
CORE_ORDER: Final = [
    {"cron", "marketdata", "plain"},
    {"model"},
    {"planner_inputs", "states"},
    {"away", "cuts", "fees", "funding", "orderfacts", "roll", "steering", "styles", "suspicion"},
    {"events"},
    {"apportion", "bus", "lastprices", "indicators", "allocation", "analyzer_measures", "risk", "sectors", "schedule"},
    {"analyzer_market", "analyzer_books"},
    {"planner_legs", "planner_zones"},
    {"planner_funds", "planner_small"},
    {"planner_lots"},
    {"planner_moves"},
    {"planner_swaps"},
    {"bonds", "capital", "membership", "slices", "risk_weights", "planner", "ledger"},
    {"ordertable", "barflow", "disposals", "forced", "spikes", "vigil", "strategy"},
    {"working"},
    {"account", "portfolio", "desk", "momentum", "optimised", "quoting", "resolver", "risk_orders", "slicing", "wave"},
    {"settlement", "staff", "trading", "margin", "twins"},
    {"approval", "arrears", "curves", "marginwatch", "follower", "groups", "memory", "ordergate", "rebalancing", "restraint", "sleeves"},
    {"analyzer_report", "analyzer_sleeves", "breakers", "liquidation", "shares"},
    {"guard", "paper_funding", "paper_orders"},
    {"dispatch", "occasion", "paper", "readiness"},
    {"workbench"},
    {"runner", "routing", "orders", "reconciler", "analyzer"},
]
CORE_RANK: Final = {name: rank for rank, names in enumerate(CORE_ORDER) for name in names}
IO_COMMON: Final = {"daemon.io.exchange", "daemon.io.clock"}
ABOVE_APP: Final = {"daemon.app", "daemon.cli.main", "daemon.__main__", "tests"}
# The venue is a process of its own; a request of the ccxt client has a task that ends with its caller's wait.
TASK_OWNERS: Final = {"daemon.app", "daemon.venue", "daemon.io.ccxt_client"}
TASK_MAKERS: Final = {"create_task", "ensure_future", "TaskGroup", "gather"}

# What a pure module must not reach.
FILES: Final = {"io", "os", "pathlib", "shutil", "sqlite3", "tempfile"}
NETWORK: Final = {"http", "select", "selectors", "socket", "ssl", "urllib"}
WAITING: Final = {"asyncio", "concurrent", "ctypes", "multiprocessing", "signal", "subprocess", "threading"}
CLOCKS_CHANCE_LOGS: Final = {"logging", "random", "secrets", "structlog", "time", "uuid"}
EDGES: Final = FILES | NETWORK | WAITING | CLOCKS_CHANCE_LOGS
EDGE_CALLS: Final = {"open", "print", "input", "exec", "eval", "breakpoint", "Random"}
CHANCE_AS_A_VALUE: Final = "random.Random"  # a generator may be handed in, and then needs its type; making one is an edge call
CLOCK_READS: Final = {"now", "utcnow", "today"}

FUNCTION_LINES_MAX: Final = 70
MODULE_LINES_MAX: Final = 450
# Spelt apart, so that this file does not find itself.
LEFTOVERS: Final = re.compile(r"\b(TO" r"DO|FIX" r"ME|NotImplemented" r"Error)\b")
TEXTS: Final = {".cfg", ".css", ".html", ".js", ".md", ".py", ".service", ".toml", ".yaml", ".yml"}
PLAIN_SECRET: Final = re.compile(r"\b(api_?key|secret|password|passphrase|token)['\"]?\s*:\s*(?!['\"]?\s*(\{|#|$|null\b|~))", re.IGNORECASE)

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file: where it lies and what it says."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the source."""
        return list(ast.walk(self.tree))

    @property
    def name(self) -> str:
        """The dotted name under which it is imported."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_package(self) -> bool:
        """Whether it is the face of a directory."""
        return self.path.endswith("__init__.py")

    @property
    def is_test(self) -> bool:
        """Whether pytest collects it."""
        return self.path.startswith("tests/") and self.path.rpartition("/")[2].startswith("test_")

    def at(self, node: ast.AST, what: str) -> str:
        """An offence at the line of `node`."""
        return f"{self.path}:{getattr(node, 'lineno', 1)} {what}"

    def imports(self) -> Iterator[tuple[ast.AST, str]]:
        """Every import, wherever it stands, as the dotted name of what is asked for (`from a import b` asks for a.b)."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                package = self.name.split(".")[: None if self.is_package else -1]
                above = package[: len(package) - node.level + 1] if node.level else []
                start = ".".join([*above, *([node.module] if node.module else [])])
                yield from ((node, f"{start}.{alias.name}") for alias in node.names)

    def imports_of_ours(self, known: set[str]) -> Iterator[tuple[ast.AST, str]]:
        """The imports that lead to modules of this project, each cut to the module it leads to."""
        for node, name in self.imports():
            if name.split(".")[0] in OURS:
                target = name if name in known else name.rpartition(".")[0] or name
                yield node, target


Rule = Callable[[Sequence[Module]], Iterable[str]]


def read(*folders: str) -> list[Module]:
    """The modules below these folders, in a stable order."""
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def within(name: str, layers: Iterable[str]) -> bool:
    """Whether a module is one of `layers` or lies below one (below `daemon` itself does not count)."""
    return any(name == layer or (layer != "daemon" and name.startswith(f"{layer}.")) for layer in layers)


def layers(modules: Sequence[Module]) -> Iterator[str]:
    """Core knows core, strategies know core, io knows core, the venue knows nobody; only the command line knows the app."""
    known = {module.name for module in modules}
    for module in modules:
        layer = next((layer for layer in MAY_IMPORT if within(module.name, [layer])), None)
        for node, target in module.imports_of_ours(known):
            registry = module.name == "strategies" and within(target, ["strategies"])
            if layer and not registry and not within(target, MAY_IMPORT[layer]):
                yield module.at(node, f"{layer} imports {target}")
            if within(target, ["daemon.app"]) and not within(module.name, ABOVE_APP):
                yield module.at(node, f"{module.name} imports {target}")


def core_imports_little(modules: Sequence[Module]) -> Iterator[str]:
    """Beside itself, core imports numpy and the standard library."""
    for module in modules:
        for node, name in module.imports():
            top = name.split(".")[0]
            if within(module.name, ["daemon.core"]) and top not in {*sys.stdlib_module_names, "numpy", *OURS}:
                yield module.at(node, f"core imports {name}")


def core_rank(modules: Sequence[Module]) -> Iterator[str]:
    """Inside core, every module has a rank, and its imports go to lower ones."""
    known = {module.name for module in modules}
    for module in modules:
        if module.is_package or not within(module.name, ["daemon.core"]):
            continue
        noun = module.name.split(".")[2]
        if noun not in CORE_RANK:
            yield module.at(module.tree, f"{module.name} has no rank")
            continue
        for node, target in module.imports_of_ours(known):
            other = target.removeprefix("daemon.core").lstrip(".").split(".")[0]
            if within(target, ["daemon.core"]) and other != noun and CORE_RANK.get(other, sys.maxsize) >= CORE_RANK[noun]:
                yield module.at(node, f"{noun} imports {target}, which does not rank below it")


def io_apart(modules: Sequence[Module]) -> Iterator[str]:
    """Modules of io meet in app.py; one noun may be split over files that begin with its word (`journal.py`, `journal_rows.py`)."""
    known = {module.name for module in modules}

    def noun(name: str) -> str:
        return name.split(".")[2].split("_")[0] if name.count(".") > 1 else ""

    for module in modules:
        for node, target in module.imports_of_ours(known):
            both_io = within(module.name, ["daemon.io"]) and within(target, ["daemon.io"])
            if both_io and not within(target, IO_COMMON) and noun(module.name) != noun(target):
                yield module.at(node, f"{module.name} imports {target}")


def config_stays_outside(modules: Sequence[Module]) -> Iterator[str]:
    """Components receive plain values: the configuration is not known below the app."""
    known = {module.name for module in modules}
    for module in modules:
        for node, target in module.imports_of_ours(known):
            if within(target, ["daemon.config"]) and within(module.name, MAY_IMPORT):
                yield module.at(node, f"{module.name} imports {target}")


def one_door_to_ccxt(modules: Sequence[Module]) -> Iterator[str]:
    """Only daemon/io/ccxt_*.py knows ccxt, by ccxt_library; tests may too, to trade for real, and peers of benches have their own."""
    library = "daemon.io.ccxt_library"
    for module in (module for module in modules if not module.path.startswith("tests/bench/peers/")):
        for node, name in module.imports():
            if name.split(".")[0] == "ccxt" and module.name != library:
                yield module.at(node, f"{module.name} imports ccxt beside {library}, which loads all of it")
            beyond = module.name.split(".")[0] in OURS and not module.name.startswith("daemon.io.ccxt_")
            if within(name, [library]) and beyond:
                yield module.at(node, f"{module.name} imports ccxt")


def no_cycles(modules: Sequence[Module]) -> Iterator[str]:
    """No module reaches itself by imports."""
    known = {module.name for module in modules}
    graph = {module.name: {target for _, target in module.imports_of_ours(known)} for module in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "cycle: " + " ← ".join(error.args[1])


def pure(modules: Sequence[Module]) -> Iterator[str]:
    """Core and strategies neither wait nor read a clock, a file or a socket, nor write a log, nor ask chance."""
    for module in modules:
        if not within(module.name, ["daemon.core", "strategies"]):
            continue
        for node, name in module.imports():
            if (name.split(".")[0] in EDGES and name != CHANCE_AS_A_VALUE) or name.startswith("numpy.random"):
                yield module.at(node, f"imports {name}")
        for node in module.nodes:
            match node:
                case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith() | ast.comprehension(is_async=1):
                    yield module.at(node, "waits")
                case ast.Call(func=ast.Name(id=called)) if called in EDGE_CALLS:
                    yield module.at(node, f"calls {called}")
                case ast.Attribute(attr=attr, value=ast.Name(id=owner) | ast.Attribute(attr=owner)) if (
                    attr in CLOCK_READS and owner in {"datetime", "date"}
                ) or (attr == "random" and owner in {"np", "numpy"}):
                    yield module.at(node, f"reads {owner}.{attr}")


def tasks_in_the_nest(modules: Sequence[Module]) -> Iterator[str]:
    """Tasks are born in app.py, in the venue and around a request, nowhere else."""
    for module in modules:
        if within(module.name, TASK_OWNERS) or module.path.startswith("tests/"):
            continue
        for node in module.nodes:
            match node:
                case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) if name in TASK_MAKERS:
                    yield module.at(node, f"uses {name}")


def documented(modules: Sequence[Module]) -> Iterator[str]:
    """Every module and every public class, function and method says what it is for."""

    def public(node: ast.Module | ast.ClassDef, owner: str) -> Iterator[tuple[ast.AST, str]]:
        for child in node.body:
            if not isinstance(child, ast.ClassDef | FunctionNode) or child.name.startswith("_"):
                continue
            inherited = {ast.unparse(decorator).rpartition(".")[2] for decorator in child.decorator_list} & {
                "override",
                "overload",
                "setter",
            }
            if not inherited and not ast.get_docstring(child):
                yield child, f"{owner}{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{child.name}.")

    for module in modules:
        if not ast.get_docstring(module.tree) and not (module.path.startswith("tests/") and module.is_package):
            yield module.at(module.tree, "module without docstring")
        if module.name.split(".")[0] in OURS:
            yield from (module.at(node, f"{name} without docstring") for node, name in public(module.tree, ""))


def sentences_for_tests(modules: Sequence[Module]) -> Iterator[str]:
    """The docstring of a test is one sentence: the property."""
    for module in modules:
        for node in module.nodes if module.is_test else []:
            if isinstance(node, FunctionNode) and node.name.startswith("test_"):
                text = ast.get_docstring(node) or ""
                if not text.endswith(".") or re.search(r"\n\s*\n|[.!?]\s+[A-Z]", text):
                    yield module.at(node, f"{node.name}: its docstring is not one sentence that ends with a period")


def short(modules: Sequence[Module]) -> Iterator[str]:
    """A function fits on a screen and a module in a head."""
    for module in modules:
        lines = module.text.count("\n")
        if lines > MODULE_LINES_MAX:
            yield module.at(module.tree, f"{lines} lines")
        for node in module.nodes:
            if isinstance(node, FunctionNode) and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX:
                yield module.at(node, f"{node.name} has {length} lines")


def no_swallowed_errors(modules: Sequence[Module]) -> Iterator[str]:
    """No handler takes everything, and none drops what it took without a word."""
    wide = {"Exception", "BaseException"}

    def names(node: ast.AST | None) -> set[str]:
        return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} if node else set()

    for module in modules:
        for node in module.nodes:
            match node:
                case ast.ExceptHandler(type=None):
                    yield module.at(node, "bare except")
                case ast.ExceptHandler(type=kind, body=[ast.Pass() | ast.Expr(value=ast.Constant())]) if names(kind) & wide:
                    yield module.at(node, "drops every exception")
                case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=args) if any(
                    names(a) & wide for a in args
                ):
                    yield module.at(node, "drops every exception")


RULES: Final[list[Rule]] = [
    layers,
    core_imports_little,
    core_rank,
    io_apart,
    config_stays_outside,
    one_door_to_ccxt,
    no_cycles,
    pure,
    tasks_in_the_nest,
    documented,
    sentences_for_tests,
    short,
    no_swallowed_errors,
]

INNOCENT: Final = {
    "daemon/app.py": '"""App."""',
    "daemon/config.py": '"""Config."""',
    "daemon/core/planner.py": '"""Planner."""',
    "daemon/io/clock.py": '"""Clock."""',
    "daemon/io/journal.py": '"""Journal."""\nfrom daemon.io.clock import Clock',
    "daemon/venue/book.py": '"""Book."""',
    "strategies/pairs.py": '"""Pairs."""\nfrom daemon.core import planner',
}
PLANTED: Final[list[tuple[Rule, str, str]]] = [
    (layers, "daemon/core/risk.py", "import daemon.io.clock"),
    (layers, "daemon/core/risk.py", "from daemon import __version__"),
    (layers, "strategies/momentum.py", "from strategies import pairs"),
    (layers, "daemon/io/gateway.py", "from daemon.venue import book"),
    (layers, "daemon/venue/book.py", "def f():\n    from ..core import model"),
    (layers, "daemon/research/loop.py", "from daemon import app"),
    (core_imports_little, "daemon/core/risk.py", "import pydantic"),
    (core_rank, "daemon/core/events.py", "from daemon.core.planner import plan"),
    (core_rank, "daemon/core/risk.py", "from daemon.core import planner"),
    (core_rank, "daemon/core/helpers.py", ""),
    (io_apart, "daemon/io/gateway.py", "from daemon.io import journal"),
    (io_apart, "daemon/io/gateway.py", "from .journal import Journal"),
    (config_stays_outside, "daemon/io/gateway.py", "from daemon.config import Config"),
    (one_door_to_ccxt, "daemon/app.py", "from daemon.io.ccxt_library import ccxt"),
    (one_door_to_ccxt, "daemon/io/ccxt_parse.py", "import ccxt.async_support"),
    (no_cycles, "daemon/core/planner.py", "def f():\n    from strategies.pairs import PAIRS"),
    (pure, "daemon/core/risk.py", "async def f(): ..."),
    (pure, "daemon/core/risk.py", "from time import monotonic"),
    (pure, "daemon/core/risk.py", "import datetime\nat = datetime.datetime.now(datetime.UTC)"),
    (pure, "daemon/core/risk.py", "from datetime import date\nat = date.today()"),
    (pure, "daemon/core/risk.py", "import numpy as np\nx = np.random.default_rng()"),
    (pure, "daemon/core/risk.py", "from random import Random\nchance = Random(1)"),
    (pure, "strategies/momentum.py", "print(1)"),
    (tasks_in_the_nest, "daemon/io/gateway.py", "import asyncio\nasyncio.create_task(f())"),
    (tasks_in_the_nest, "daemon/io/gateway.py", "from asyncio import gather as together"),
    (documented, "daemon/app.py", "x = 1"),
    (documented, "daemon/app.py", '"""App."""\nclass A:\n    """A."""\n    def f(self): ...'),
    (sentences_for_tests, "tests/test_a.py", "def test_a(): ..."),
    (sentences_for_tests, "tests/test_a.py", 'def test_a():\n    """No period"""'),
    (sentences_for_tests, "tests/test_a.py", 'async def test_a():\n    """Two. Sentences."""'),
    (short, "daemon/app.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
    (short, "daemon/app.py", "x = 1\n" * (MODULE_LINES_MAX + 1)),
    (no_swallowed_errors, "daemon/app.py", "try: f()\nexcept: raise"),
    (no_swallowed_errors, "daemon/app.py", "try: f()\nexcept (OSError, Exception): pass"),
    (no_swallowed_errors, "daemon/app.py", "import contextlib\nwith contextlib.suppress(Exception): f()"),
]


@pytest.fixture(scope="module")
def tree() -> list[Module]:
    """Every module of the project, tests included."""
    return read(*OURS, "tests")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds_everywhere(rule: Rule, tree: list[Module]) -> None:
    """The whole tree keeps each rule of the house."""
    found = list(rule(tree))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_rule_finds_a_planted_offence(rule: Rule, path: str, text: str) -> None:
    """A rule that found nothing because it looks at nothing would be worse than none."""

    def offences(tree: dict[str, str]) -> list[str]:
        return list(rule([Module(path, text) for path, text in tree.items()]))

    assert not offences(INNOCENT)
    assert offences({**INNOCENT, path: text})


def test_no_rule_is_untried() -> None:
    """Every rule has at least one planted offence."""
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_nothing_is_left_for_later() -> None:
    """No shipped text holds a note that something is still to be done."""
    folders = ["config", "daemon", "docs", "strategies", "systemd", "tests"]
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    texts += [path for path in ROOT.iterdir() if path.suffix in TEXTS or path.name in {"Dockerfile", "Makefile"}]
    assert [str(path) for path in texts if LEFTOVERS.search(path.read_text(encoding="utf-8"))] == []


def test_config_holds_no_secrets() -> None:
    """What lies in config/ is YAML, and its credentials are references, never values."""
    for path in sorted((ROOT / "config").rglob("*")):
        assert path.suffix == ".yaml", f"{path} does not belong in config/"
        found = [line for line in path.read_text(encoding="utf-8").splitlines() if PLAIN_SECRET.search(line.split("#")[0])]
        assert found == [], f"{path} holds a plain secret"


def test_the_locks_agree() -> None:
    """The versions that run are the versions that are tested."""

    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))

    extras = [pins(f"requirements-{extra}.lock") for extra in ("alerts", "cluster", "dev", "optimize")]
    assert pins("requirements.lock") <= set.intersection(*extras)
    assert pins("requirements-build.lock") <= pins("requirements-dev.lock")
