"""Page: text, data and script become one HTML file that needs nothing else, neither a server nor a network.

Rule: what comes from a run is text, never markup, and the policy of the page lets only the two scripts run that were put into it here.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from daemon.research.bars import DataError
from daemon.research.report.figures import Figure

HERE: Final = Path(__file__).parent
# Plotly writes rules of style into the page as it draws, and pictures of what it has drawn.
POLICY: Final = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
)


def page(title: str, lead: str, body: str, data: Mapping[str, Any]) -> str:
    """The whole file. `body` is markup; `data` is what the script reads, `figures` by name among it."""
    plotly, script = _plotly(), _asset("report.js")
    pieces = {
        "policy": POLICY.format(scripts=" ".join(_hash(each) for each in (plotly, script))),
        "title": escape(title),
        "lead": escape(lead),
        "style": _asset("report.css"),
        "body": body,
        # A text of the run may not end the element that it stands in.
        "data": json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "plotly": plotly,
        "script": script,
    }
    return re.sub(r"{{(\w+)}}", lambda found: pieces[found.group(1)], _asset("page.html"))


def save(path: Path, text: str) -> None:
    """Put a page in its place at one stroke.

    Raises:
        DataError: it cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error})") from None


def plot(figure: Figure) -> str:
    """The place of a figure, with its heading and its definitions."""
    return (
        f'<section id="{figure.key}"><h2>{escape(figure.title)}</h2><figure>'
        f'<div class="plot" data-figure="{figure.key}" data-tall="{figure.tall}" role="img" aria-label="{escape(figure.title)}" '
        f'style="min-height:{figure.tall * 16}px"></div>'
        f"<figcaption>{escape(figure.note)}</figcaption></figure></section>"
    )


def listed(items: Sequence[str]) -> str:
    """A list of texts that are markup already."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    """The script that draws, out of its package, whose Python half takes a second to import and is not needed."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise DataError("plotly is not installed, and the report is drawn by it; install the versions of requirements.lock")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
