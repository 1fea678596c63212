"""Own use: what `strategies[].use` may name beside the registered strategies, a class in a user's file or package.

Rule: nothing of the user's code is run or imported here; a file is read, a package is looked for.
"""

import ast
import importlib.util
from pathlib import Path


class NotThere(Exception):
    """What `use` names does not exist: what is wrong with it, and the remedy, as the sentences of a configuration have them."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


def is_own(use: str) -> bool:
    """Whether `use` names a class of a file or package (`./my.py:Mine`, `package.module:Class`) rather than a registered strategy."""
    return ":" in use


def is_contained(use: str) -> bool:
    """Whether it runs in a process of its own when there is money: everything but what ships with the daemon."""
    return is_own(use) and not use.startswith("strategies.")


def look(use: str, base: Path) -> None:
    """See whether `use` can name a class, as far as that is known without running anything.

    Raises:
        NotThere: it cannot.
    """
    where, _, name = use.rpartition(":")
    if not name.isidentifier():
        raise NotThere("does not end in the name of a class", "write ./my_strategy.py:Class or package.module:Class")
    if where.endswith(".py"):
        _look_into(base / where, name)
    elif not all(part.isidentifier() for part in where.split(".")):
        raise NotThere("is neither a Python file nor a module", "write ./my_strategy.py:Class or package.module:Class")
    elif not (base / where.split(".")[0]).is_dir() and not (base / f"{where}.py").is_file() and _unknown(where.split(".")[0]):
        raise NotThere("names a package that is not installed", "install it beside the daemon, or name a file as ./my_strategy.py:Class")


def _unknown(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ValueError:  # a module without a specification, such as __main__
        return True


def _look_into(path: Path, name: str) -> None:
    try:
        tree = ast.parse(path.read_bytes())
    except OSError:
        raise NotThere("is not a file that can be read", "the path starts at the directory of this configuration") from None
    except (SyntaxError, ValueError):
        return  # told where it is loaded, with its line
    classes = sorted(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    named = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    if name not in {*classes, *named}:
        raise NotThere("names a class that the file does not have", f"it has {', '.join(classes) or 'none'}")
