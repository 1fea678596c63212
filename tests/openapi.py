"""An answer of the API, held against the document that describes the API."""

from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator, FormatChecker

from daemon.io.api_document import document

VERSION: Final = "/api/v1/"


def _in_utc(text: object) -> bool:
    return not isinstance(text, str) or (text.endswith("Z") and datetime.fromisoformat(text).utcoffset() == timedelta(0))


FORMATS: Final = FormatChecker(())
FORMATS.checks("date-time", raises=ValueError)(_in_utc)


def operation(method: str, path: str) -> tuple[str, dict[str, Any]]:
    """The described path that a request is for, and what is said of it. LookupError: none is."""
    paths = document()["paths"]
    verb = "GET" if method == "HEAD" else method
    rest = path.removeprefix(VERSION)
    for described in (path, "/static/{name}", f"{VERSION}why/{{symbol}}", f"{VERSION}{{verb}}"):
        fits = described == path or path.startswith(described.partition("{")[0])
        if fits and verb.lower() in paths.get(described, {}) and (described != f"{VERSION}{{verb}}" or "/" not in rest):
            return described, paths[described][verb.lower()]
    raise LookupError(f"{method} {path} is not described")


def promised(answer: httpx.Response) -> httpx.Response:
    """The answer itself, if its status, type and content are as described."""
    _, described = operation(answer.request.method, answer.request.url.path)
    told = described["responses"].get(str(answer.status_code))
    assert told is not None, f"{answer.request.method} {answer.request.url.path} answers {answer.status_code}, which is not described"
    media = answer.headers.get("Content-Type", "").partition(";")[0]
    for kind, content in told.get("content", {}).items():
        assert kind in (media, "*/*"), f"{answer.request.url.path} is {media}, and described as {kind}"
        if "schema" in content:
            _held(answer.request.url.path, content["schema"], answer.json())
    return answer


def conforms(name: str, told: object) -> None:
    """What a view says, in JSON's own types, is what the operation of that name is described to answer."""
    operations = (each for methods in document()["paths"].values() for each in methods.values())
    described = next(each for each in operations if each["operationId"] == name)
    _held(name, described["responses"]["200"]["content"]["application/json"]["schema"], told)


def _held(what: str, schema: dict[str, Any], told: object) -> None:
    whole = {**schema, "components": document()["components"]}
    errors = Draft202012Validator(whole, format_checker=FORMATS).iter_errors(told)
    found = [f"{error.json_path}: {error.message[:300]}" for error in errors]
    assert not found, f"{what}: {'; '.join(found[:5])}"
