"""Loading: a file and an environment become a Config, or every mistake in them becomes a sentence."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from daemon.config.accounts import each_account
from daemon.config.models import Config
from daemon.config.overrides import Loc, Overrides
from daemon.config.sentences import ROOT, ConfigError, mistakes_of, sentence, sentences
from daemon.config.yamltext import MAX_TEXT, Document, YamlMistake, parse

READY: Final = "start from one of the ready files in config/"
JOURNAL: Final = b"SQLite format 3\0"  # how the other file begins that a person has of an instance


def load(path: Path, environ: Mapping[str, str], account: str = "") -> Config:
    """The configuration of a file, with the overrides of the environment; its secrets stay where they are. Of several accounts, of one.

    Raises ConfigError with all that is wrong.
    """
    return chosen(path, load_all(path, environ), account)


def chosen(path: Path, configs: tuple[Config, ...], account: str) -> Config:
    """Of the configurations of a file, that of one account. Raises ConfigError: it is not among them, or has to be named."""
    found = {each.account: each for each in configs}
    if account in found:
        return found[account]
    if not account:
        raise ConfigError(
            [sentence(str(path), "accounts", "has several, and this is about one", f"name it with --account: {', '.join(found)}")]
        )
    there = f"has {', '.join(found)}" if "" not in found else "is not there: it has one exchange"
    raise ConfigError([sentence(str(path), "accounts", there, f"{account} is none of them")])


def load_all(path: Path, environ: Mapping[str, str]) -> tuple[Config, ...]:
    """The same of every account, in the order of the file; a single exchange is one."""
    return each_account(_whole(path, environ))


def _whole(path: Path, environ: Mapping[str, str]) -> Config:
    tree, overrides, problems = overridden(path, environ)
    return validated(path, tree, problems, overrides.variable_of)


def overridden(path: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], Overrides, list[str]]:
    """The tree of a file with the overrides of the environment in it, these, and a sentence for each that fits nowhere."""
    source = str(path)
    document = _document(path)
    overrides = Overrides(environ)
    refused = overrides.apply(document.tree)
    problems = sentences(document.repeated, source, lambda _: None)
    problems += [sentence(source, variable, each.what, each.remedy) for variable, each in refused]
    return document.tree, overrides, problems


def validated(path: Path, tree: dict[str, Any], problems: Sequence[str], given_by: Callable[[Loc], str | None]) -> Config:
    """The configuration of a tree. `given_by`: what a value was given by, where that is not the file.

    Raises ConfigError: with `problems`, if there are any, and with all that is wrong.
    """
    try:
        config = Config.model_validate(tree, context={"source": path})
    except ValidationError as error:
        raise ConfigError([*problems, *sentences(mistakes_of(error, Config), str(path), given_by)]) from None
    if problems:
        raise ConfigError(problems)
    return config


def tree(path: Path, remedy: str) -> Any:
    """What stands in a YAML file that is no configuration; `remedy` is for one that holds nothing.

    Raises ConfigError: it cannot be read, is not YAML, or names a key twice.
    """
    source = str(path)
    try:
        document = parse(_text(path, remedy))
    except YamlMistake as error:
        raise ConfigError([sentence(source, error.place, error.what, error.remedy)]) from None
    if document.repeated:
        raise ConfigError(sentences(document.repeated, source, lambda _: None))
    if document.tree is None:
        raise ConfigError([sentence(source, ROOT, "is empty", remedy)])
    return document.tree


def _document(path: Path) -> Document:
    """What stands in the file; its tree is a mapping."""
    source = str(path)
    try:
        document = parse(_text(path, READY))
    except YamlMistake as error:
        raise ConfigError([sentence(source, error.place, error.what, error.remedy)]) from None
    if document.tree is None:
        raise ConfigError([sentence(source, ROOT, "is empty", READY)])
    if not isinstance(document.tree, dict):
        raise ConfigError([sentence(source, ROOT, "is not a mapping", "begin with keys, like `name: momentum-spot`")])
    return document


def _text(path: Path, remedy: str) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(4 * MAX_TEXT + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.object.startswith(JOURNAL):
            raise YamlMistake(ROOT, "is a journal, not a configuration", "name the YAML file whose journal.path it is") from None
        line = error.object.count(b"\n", 0, error.start) + 1
        raise YamlMistake(f"line {line}", "is not UTF-8", "save the file as UTF-8") from None
    except FileNotFoundError:
        raise YamlMistake(ROOT, "does not exist", f"check the path, or {remedy}") from None
    except IsADirectoryError:
        raise YamlMistake(ROOT, "is a directory", "name the YAML file in it") from None
    except OSError as error:
        raise YamlMistake(ROOT, f"cannot be read ({error.strerror or 'I/O error'})", "check its permissions") from None
