"""The dashboard's files as they are served: these and no others, under a policy that lets the page talk to nobody else."""

import asyncio
import http.client
import re

import pytest

from daemon.io.api_page import WEB
from tests.io.test_api import Views, serving

FOREIGN = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


async def test_the_page_loads_what_is_served_and_nothing_else() -> None:
    """Every address in it is one of its own files, and each of them is there; it may run no text, and be framed by nobody."""
    async with serving(Views()) as client:
        page = await client.get("/")
        found = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
        scripts = {name for path in WEB.glob("*.js") for name in re.findall(r'from "\./([^"]+)"', path.read_text())}
        answers = [await client.head(f"/{path}") for path in [*found, *(f"static/{name}" for name in scripts)]]
    assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert ([answer.status_code for answer in answers], len(found)) == ([200] * len(answers), 3)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy


async def test_an_unchanged_file_is_not_sent_again() -> None:
    """A browser that has it asks with its tag, so that five megabytes of plotly travel once, and an upgrade is seen at once."""
    async with serving(Views()) as client:
        first = await client.get("/static/plotly.min.js")
        again = await client.get("/static/plotly.min.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, first.headers["Cache-Control"]) == (200, 304, "no-cache")


TRICKS = ("", "..", "../api.py", "%2e%2e%2fapi.py", "%2e%2e/api.py", "..%5capi.py", "index.html", "main.js%00", "main.js/", "/etc/passwd")


@pytest.mark.parametrize("trick", TRICKS)
async def test_nothing_else_on_the_disk_is_served(trick: str) -> None:
    """No way of writing a path leads out of the page's own files."""
    async with serving(Views()) as client:
        connection = http.client.HTTPConnection("127.0.0.1", client.base_url.port or 0)  # httpx would tidy the path up
        try:
            connection.putrequest("GET", f"/static/{trick}")
            connection.endheaders()
            assert await asked(connection) in (400, 404)
        finally:
            connection.close()


async def asked(connection: http.client.HTTPConnection) -> int:
    """The status of the answer, while the server's loop goes on."""
    return (await asyncio.to_thread(connection.getresponse)).status


async def test_a_link_leads_to_the_page_and_a_foreign_script_does_not() -> None:
    """Who follows a link from a chat sees the dashboard; a page of another origin can neither read it nor what is behind it."""
    async with serving(Views()) as client:
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert (await client.get("/", headers=link)).status_code == 200
        for path in ("/", "/api/v1/status", "/api/v1/events", "/static/main.js"):
            assert (await client.get(path, headers=FOREIGN)).status_code == 403
        assert (await client.get("/api/v1/status", headers=link)).status_code == 403
