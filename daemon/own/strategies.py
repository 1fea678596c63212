"""Own strategies: from the `use` of a configuration to the class in a user's file or package, and to the strategy at work.

Rule: a user's code runs nowhere but here, and only when somebody asks for the class: reading a configuration runs none of it. What the
configuration names and is not there (a file, a class, a parameter) is the configuration's mistake; what the code does is its own.
"""

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from daemon.config.ownuse import NotThere, look
from daemon.core.strategy import Failed, Strategy, Universe


@dataclass(frozen=True, slots=True)
class Own:
    """A strategy as the configuration names it: `use` from the directory `base`, its parameters as in the file, its budget for a bar."""

    name: str
    use: str
    base: Path
    params: Mapping[str, Any]
    budget_s: float


def load(use: str, base: Path) -> type[Strategy]:
    """The class that `use` names. The module is made anew every time, so that no run sees what another has left behind.

    Raises:
        NotThere: there is no such file, module or class, or it is no strategy.
        Exception: whatever the code of the file raised.
    """
    look(use, base)
    where, _, name = use.rpartition(":")
    _forget(base)
    for folder in (str(base), str((base / where).parent)) if where.endswith(".py") else (str(base),):
        if folder not in sys.path:
            sys.path.append(folder)  # at the end: a file of the user's named random.py must not hide Python's
    module = _of_file(base / where) if where.endswith(".py") else importlib.import_module(where)
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise NotThere("is not a strategy", "name a class derived from daemon.core.strategy.Strategy")
    if inspect.isabstract(found):
        lacks = " and ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise NotThere(f"is not complete: it lacks {lacks}", "write them, as `rebalanced new strategy` shows")
    if not is_dataclass(found.Params):
        raise NotThere("has Params that are no dataclass", "decorate them with @dataclass(frozen=True)")
    return found


def _of_file(path: Path) -> ModuleType:
    resolved = path.resolve()
    name = f"own_{blake2b(str(resolved).encode(), digest_size=6).hexdigest()}_{resolved.stem}"
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise NotThere("is not a Python file", "name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being made
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _forget(base: Path) -> None:
    """Drop the user's modules below the directory, and with them whatever they remember."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and name != "__main__" and Path(file).is_relative_to(base) and _is_users(Path(file)):
            del sys.modules[name]


def _is_users(file: Path) -> bool:
    """Whether a source file is the user's: neither Python's, nor installed, nor a part of this program."""
    if not file.is_absolute() or file.is_relative_to(sys.base_prefix) or file.is_relative_to(sys.prefix):
        return False
    ours = Path(__file__).resolve().parents[1]
    return not (file.is_relative_to(ours) or file.is_relative_to(ours.parent / "strategies") or file.is_relative_to(ours.parent / "tests"))


def hire(own: Own, universe: Universe) -> Strategy:
    """The strategy itself, in this process.

    Raises:
        ConfigError: what the configuration says of it is wrong, a sentence a mistake; places begin below the strategy (`params.lookback`).
        Exception: whatever its code raised.
    """
    from pydantic import ValidationError

    from daemon.config.params import built
    from daemon.config.sentences import ConfigError, dotted

    try:
        spec = load(own.use, own.base)
        params = built(own.use, spec.Params, own.params)
    except NotThere as error:
        raise ConfigError([f"use {error}"]) from None
    except ValidationError as error:
        lines = [(dotted(("params", *each["loc"])), each.get("ctx", {})) for each in error.errors(include_url=False)]
        raise ConfigError(f"{place} {said.get('what')}; {said.get('remedy')}" for place, said in lines) from None
    made = spec(params, universe)
    if not (hasattr(made, "params") and hasattr(made, "universe")):
        raise Failed(f"{spec.__name__}.__init__ must call super().__init__(params, universe); add that line")
    return made


def blamed(error: BaseException, otherwise: str = "") -> str:
    """What went wrong, and where in the user's own code: `ValueError: no such thing (my.py line 12, in decide)`.

    `otherwise` is the place to be named where no line of theirs is to blame.
    """
    said = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
    text = " ".join(": ".join([*getattr(error, "__notes__", ()), said]).split())[:300].removesuffix(":")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text.partition(' (')[0]} ({Path(error.filename).name} line {error.lineno})"
    return text + (traced(error) or otherwise)


def traced(error: BaseException) -> str:
    """The last line of the user's own code that an exception came through, ` (my.py line 12, in decide)`; empty if there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(Path(frame.filename))]
    return f" ({Path(frames[-1].filename).name} line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""


def defined(strategy: Strategy, method: str) -> str:
    """Where a method of the user's own begins; empty where it is not theirs."""
    code = getattr(inspect.unwrap(getattr(type(strategy), method)), "__code__", None)
    return f" ({Path(code.co_filename).name} line {code.co_firstlineno}, in {method})" if code and _is_users(Path(code.co_filename)) else ""
