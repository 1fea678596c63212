"""Paths as nobody would write them: none gets round the token."""

import asyncio

import pytest

from tests.io.test_api import ANYWHERE, Views, serving

SPELLINGS = (
    "/%61pi/v1/status",
    "/api%2Fv1%2Fstatus",
    "/api%2fv1/status",
    "//api/v1/status",
    "/./api/v1/status",
    "/static/../api/v1/status",
    "/static/..%2fapi/v1/status",
    "/static/%2e%2e/api/v1/status",
    "/healthz/../api/v1/status",
    "/healthz;/api/v1/status",
    "/API/v1/status",
    "/api/v1/status/",
    "/api/v1//status",
    "/api\\v1\\status",
    "/%6detrics",
    "/metrics/",
    "//metrics",
    "/metrics%00",
    "http://127.0.0.1/api/v1/status",
    "http://127.0.0.1/metrics",
    "/?/api/v1/status",
    "*",
    "/api/v1/why/../status",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_a_path_gets_round_the_token(spelling: str) -> None:
    """On a bind that others reach, whatever the path looks like, nothing of money is told to somebody without the token."""
    async with serving(Views(), ANYWHERE, "open-sesame") as client, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(f"GET {spelling} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        heard = await reader.read()
        writer.close()
    status = int(heard.split(b" ", 2)[1])
    assert status in (400, 401, 404, 405) or (status == 200 and b"<!doctype html>" in heard.lower())
    assert b"equity" not in heard.lower() or b"<!doctype html>" in heard.lower()
