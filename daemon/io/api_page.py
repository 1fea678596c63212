"""Page: the dashboard's own files, and plotly's script out of its package.

Rule: nothing but these files is served, by names that are known beforehand; and the page may load, run and ask nothing from anywhere else.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from aiohttp import web

WEB: Final = Path(__file__).parent.parent / "web"
PLOTLY: Final = "plotly.min.js"

# Plotly sets styles from its script: rules in a sheet of its own, which counts as inline.
POLICY: Final = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip

HEADERS: Final = MappingProxyType({
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked for again: an upgrade must not leave half of an older page
})  # fmt: skip


class Page:
    """Answers `/` and `/static/NAME`."""

    def __init__(self) -> None:
        self._files = _files()

    async def index(self, _request: web.Request) -> web.StreamResponse:
        """The page."""
        return web.FileResponse(WEB / "index.html", headers=HEADERS)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """What the page loads. HTTPNotFound: it loads nothing of that name."""
        path = self._files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=HEADERS)


def _files() -> Mapping[str, Path]:
    """Every file of the page by its name, as it is on disk."""
    own = {path.name: path for path in WEB.iterdir() if path.suffix in (".js", ".css")}
    spec = find_spec("plotly")  # found without loading it, which takes a second
    if spec is None or spec.origin is None:
        return own
    return {**own, PLOTLY: Path(spec.origin).parent / "package_data" / PLOTLY}
