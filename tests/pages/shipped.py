"""The strategies that ship, as the heads of their files and their parameters have them."""

import re
import sys
from inspect import cleandoc

from daemon.config.params import model_of, registry
from tests.pages.configuration import cell, default_of, kind


def strategies() -> str:
    """A section for each: idea, formula, when it fails, and its parameters in a table."""
    return "\n\n".join(_strategy(use) for use in sorted(registry()))


def _strategy(use: str) -> str:
    text = cleandoc(sys.modules[registry()[use].__module__].__doc__ or "")
    return "\n".join([f"## `{use}`", "", _fenced(text), "", *_parameters(use)])


def _fenced(text: str) -> str:
    """Formulas, which stand indented in the source, between fences: what is between two marks could be indented by an editor."""
    parts = re.split(r"\n\n((?:    .*\n?)+)", text)
    return "".join(f"\n\n```text\n{cleandoc(part)}\n```\n" if index % 2 else part for index, part in enumerate(parts))


def _parameters(use: str) -> list[str]:
    model = model_of(registry()[use].Params)
    told = model.model_json_schema()
    rows = [
        f"| `{key}` | {cell(kind(told['properties'][key], told.get('$defs', {})))} | {cell(default_of(field))} |"
        for key, field in model.model_fields.items()
    ]
    return ["| parameter | is | default |", "|---|---|---|", *rows]
