"""ccxt itself, of which an exchange's class is loaded when somebody asks for it.

Rule: whoever needs ccxt takes it from here, so that its packages are never loaded whole. The three of them (`ccxt`,
`ccxt.async_support`, `ccxt.pro`) each begin by importing some hundred exchanges: a second of a start and 45 MiB of memory, for the one
that is used. Here a package runs its own `__init__` without those lines, and an exchange's class appears under its name as if its line
had been run. Nothing else of ccxt is changed. A release of ccxt whose packages are written in another way has no such lines, and is
loaded whole.
"""

import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Final

PACKAGES: Final = ("ccxt", "ccxt.async_support", "ccxt.pro")
DEFERRED: Final = "_deferred"  # where a package of ccxt keeps the names of the exchanges that it has not loaded by itself


class _Package(ModuleType):
    """A package of ccxt."""

    def __getattr__(self, name: str) -> object:
        """The class of an exchange that nobody has asked for yet."""
        if name not in self.__dict__.get(DEFERRED, ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        import_module(f"{self.__name__}.{name}")  # which sets the attribute
        return self.__dict__[name]

    def __setattr__(self, name: str, value: object) -> None:
        """Python sets a submodule under its name here when it has been loaded; ccxt's own line would put its class there."""
        if isinstance(value, ModuleType) and name in self.__dict__.get(DEFERRED, ()):
            value = getattr(value, name)
        super().__setattr__(name, value)


class _Loader(SourceFileLoader):
    """Runs the `__init__` of a package of ccxt, but for its imports of exchanges."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill the package. What is compiled is kept nowhere, since Python would take it for the whole package's code."""
        source = ast.parse(self.get_data(self.path), self.path)
        deferred = {name for node in source.body if (name := _exchange(node, module.__name__))}
        source.body = [node for node in source.body if not _exchange(node, module.__name__)]
        module.__class__ = _Package
        module.__dict__[DEFERRED] = frozenset(deferred)
        exec(compile(source, self.path, "exec"), module.__dict__)  # noqa: S102 - as the loader of any module does


class _Finder(MetaPathFinder):
    """Finds the packages of ccxt, and nothing else."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The package where Python finds it, with our loader; None leaves it to Python."""
        if fullname not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _exchange(node: ast.stmt, package: str) -> str:
    """`kraken` for the line `from <package>.kraken import kraken`; empty for any other."""
    match node:
        case ast.ImportFrom(module=str(module), names=[ast.alias(name=name, asname=None)], level=0) if module == f"{package}.{name}":
            return name
    return ""


sys.meta_path.insert(0, _Finder())

import ccxt  # noqa: E402 - by the finder above
import ccxt.async_support  # noqa: E402
import ccxt.pro  # noqa: E402

__all__ = ["ccxt"]
