"""The OpenAPI document: it lists what the router has, who may ask, what may be asked, and every status that comes back."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from daemon import __version__
from daemon.io import api as api_module
from daemon.io import api_events
from daemon.io.api import BODY_MAX, Api
from daemon.io.api_document import document
from daemon.io.api_feed import Feed
from daemon.io.api_routes import ROUTES, VERBS, Access, Route
from daemon.io.clock import SystemClock
from tests.io.test_api import ANYWHERE, TOKEN, Commands, Views, serving
from tests.openapi import operation, promised

SECRET = "open-sesame"
JSON = {"Content-Type": "application/json"}
HERE = {"page": "/", "file": "/static/main.js", "why": "/api/v1/why/BTC/USDT", "command": "/api/v1/pause"}


class Broken:
    """Views and commands that fail, whatever is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Shut(Feed):
    """A feed that ends at once, so that following it does."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.closed = True


def path_of(route: Route) -> str:
    return HERE.get(route.name, route.path)


def test_the_router_has_what_the_document_lists_and_nothing_else() -> None:
    """Every route of the server is described, by method and path, and nothing is that it does not have."""
    api = Api(Views(), Commands(), Feed(SystemClock()), "127.0.0.1", 0)
    routes = [route for route in api._application().router.routes() if route.method != "HEAD"]
    served = {(route.method.lower(), route.resource.canonical) for route in routes if route.resource is not None}
    described = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert served - described == {("get", "/api/v1/{unknown}")}, "which answers that there is nothing"
    assert described <= served
    assert len(routes) == len(ROUTES) + 1


def test_the_document_is_sound() -> None:
    """Its references lead somewhere, its schemas are schemas, each operation has a name of its own, and each path says its parameters."""
    told = document()
    names = told["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", str(told))) == set(names)
    for schema in names.values():
        Draft202012Validator.check_schema(schema)
    operations = [operation for methods in told["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, methods in told["paths"].items():
        for described in methods.values():
            assert {each["name"] for each in described["parameters"] if each["in"] == "path"} == set(re.findall(r"{(\w+)}", path))


async def test_it_is_served() -> None:
    """Whoever reads the API reads its description there too, the version of the program included."""
    async with serving(Views()) as client:
        answer = promised(await client.get("/api/v1/openapi.json"))
    assert answer.json() == document()
    assert answer.json()["info"]["version"] == __version__


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_who_may_ask_is_as_described(route: Route) -> None:
    """What is open to everybody is so on a bind that others reach, what reads needs the token there, and a command everywhere."""
    answers = {}
    for host in ("127.0.0.1", ANYWHERE):
        async with serving(Views(), host, SECRET, feed=Shut()) as client:
            answers[host] = (await client.request(route.method, path_of(route))).status_code
    refused = {host for host, status in answers.items() if status == 401}
    assert refused == {Access.OPEN: set(), Access.READ: {ANYWHERE}, Access.COMMAND: {"127.0.0.1", ANYWHERE}}[route.access]


def test_what_may_be_asked_is_described() -> None:
    """The source reads no query and no header of a client's own that the document does not name, and all that it names."""
    text = "".join(path.read_text() for path in Path(api_events.__file__).parent.glob("api*.py"))
    read = set(re.findall(r'request\.query\.get\("([\w-]+)"', text)) | set(re.findall(r'headers\.get\("(Last-[\w-]+)"', text))
    assert read == {param.name for route in ROUTES for param in route.params if param.place != "path"}


def test_the_verbs_are_those_that_there_are() -> None:
    """The commands that the document lists are those that the daemon carries out."""
    text = (Path(api_events.__file__).parents[1] / "commander.py").read_text()
    found = set(re.findall(r'verb == "(\w+)"', text)) | set(re.findall(r'^ +"(\w+)": self\._', text, re.MULTILINE))
    assert found == set(VERBS)


ELICITED: Mapping[str, Mapping[int, Mapping[str, Any]]] = {
    "page": {200: {}, 304: {"again": True}},
    "file": {200: {}, 304: {"again": True}, 404: {"path": "/static/none.js"}},
    "healthz": {200: {}},
    "readyz": {200: {}, 503: {"failing": ["there has been no slice yet"]}},
    "metrics": {200: {}},
    "document": {200: {}},
    "status": {},
    "positions": {},
    "targets": {},
    "orders": {200: {}, 400: {"params": {"limit": "many"}}},
    "fills": {200: {}, 400: {"params": {"limit": "0"}}},
    "equity": {400: {"params": {"since": "yesterday"}}},
    "decisions": {400: {"params": {"limit": "-1"}}},
    "analysis": {},
    "why": {404: {"path": "/api/v1/why/DOGE"}},
    "events": {200: {}, 503: {"full": True}},
    "command": {
        400: {"content": "{"},
        404: {"path": "/api/v1/dance"},
        408: {"slow": True},
        409: {"path": "/api/v1/flatten"},
        413: {"content": '"' + "x" * BODY_MAX + '"'},
        415: {"content": "{}", "headers": {"Content-Type": "text/plain"}},
    },
}
# What the figures of a whole daemon look like is read by the tests that run one.
WHOLE = ("status", "positions", "targets", "equity", "decisions", "analysis", "why", "command")


async def elicited(route: Route, client: httpx.AsyncClient, views: Views, how: Mapping[str, Any]) -> httpx.Response:
    """One answer, asked for in this way."""
    views.failing = how.get("failing", [])
    headers = {**TOKEN, **JSON, **how.get("headers", {})}
    if how.get("again"):
        headers["If-None-Match"] = (await client.get(path_of(route))).headers["ETag"]
    if how.get("slow"):
        how = {"content": drawled()}
    request: dict[str, Any] = {"params": how.get("params"), "content": how.get("content")}
    return promised(await client.request(route.method, how.get("path", path_of(route)), headers=headers, **request))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_every_status_is_met(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each status that is described for a route comes back from it, with the described content, and no other does."""
    met = {200} if route.name in WHOLE else set()
    views = Views()
    async with serving(views, token=SECRET, feed=Shut()) as client:
        for status, how in ELICITED[route.name].items():
            with monkeypatch.context() as patch:
                patch.setattr(api_module, "BODY_S", 0.05 if how.get("slow") else 10.0)
                if how.get("full"):
                    patch.setattr(api_events, "CLIENTS_MAX", 0)
                met.add((await elicited(route, client, views, how)).status_code)
            assert status in met
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            met.add(promised(await client.request(route.method, path_of(route), headers={**TOKEN, **headers})).status_code)
    met.add(await without_a_token(route))
    met.add(await broken(route, monkeypatch))
    _, described = operation(route.method, path_of(route))
    assert {str(status) for status in met} - {"200"} == set(described["responses"]) - {"200"}


async def drawled() -> AsyncIterator[bytes]:
    """A body of which the end keeps one waiting."""
    yield b'{"by": '
    await asyncio.sleep(0.5)
    yield b'""}'


async def without_a_token(route: Route) -> int:
    async with serving(Views(), ANYWHERE, SECRET, feed=Shut()) as client:
        answer = await client.request(route.method, path_of(route))
    return answer.status_code


def fail(*_: object) -> bytes:
    raise RuntimeError("a bug")


async def broken(route: Route, monkeypatch: pytest.MonkeyPatch) -> int:
    """What is answered where what is asked fails."""
    if route.access is Access.OPEN:
        return 200
    fails: Any = Broken()
    api = Api(fails, fails, Shut(), "127.0.0.1", 0, SECRET, fail)
    monkeypatch.setattr("daemon.io.api.document", fail)
    monkeypatch.setattr(api_events.Events, "_place", fail)
    await api.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False) as client:
            return promised(await client.request(route.method, path_of(route), headers={**TOKEN})).status_code
    finally:
        await api.stop()
