"""Routes: everything the API answers, each with who may ask, what may be asked, and what comes back.

Rule: this is the only list. The router, the OpenAPI document and the pages about the API are made of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from daemon.core.analyzer_report import Analysis
from daemon.io import api_shapes as shapes
from daemon.io.api_why import Story

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000  # rows a page; some 300 kB of JSON, built in a few milliseconds of the loop
TEXT_MAX: Final = 100  # characters of an argument: symbols and names have at most 60
TAIL_DIGITS_MAX: Final = 16

VERBS: Final[Mapping[str, str]] = MappingProxyType({
    "pause": "begin nothing new, of everything, a symbol or a strategy",
    "resume": "lift what restricts it",
    "rebalance": "have every strategy decide now",
    "flatten": "sell everything, or one symbol or strategy, and halt it",
    "exclude": "leave a symbol alone, with what is held of it",
    "approve": "let the wave go that waits for a word; the argument is its decision",
    "resolve": "give up an order in doubt that nobody finds; the argument is its id",
    "reload": "read the configuration again",
    "stop": "end in order",
})  # fmt: skip


class Access(StrEnum):
    """Who may ask."""

    OPEN = "everybody"
    READ = "everybody on loopback, else the token"
    COMMAND = "the token"


class Media(StrEnum):
    """What an answer is written in."""

    JSON = "application/json"
    HTML = "text/html"
    FILE = "*/*"
    METRICS = "text/plain"
    EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Param:
    """What may be asked: where it stands (path, query, header), its JSON schema, and what it means."""

    name: str
    place: str
    says: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method on a path. `pattern`: how the router spells the path, where that differs. `also`: statuses beside 200, with their sense.

    `answer`: the shape of what comes back, None where it is no JSON; `when_not`: that of an answer of status 503 which is no problem.
    """

    name: str
    path: str
    says: str
    answer: Any = None
    method: str = "GET"
    pattern: str = ""
    access: Access = Access.READ
    media: Media = Media.JSON
    params: tuple[Param, ...] = ()
    also: Mapping[int, str] = field(default_factory=dict)
    when_not: Any = None


LIMIT: Final = Param(
    "limit",
    "query",
    f"how many rows at most, the newest; {LIMIT_DEFAULT} unless it is given",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
)
SINCE: Final = Param("since", "query", "from this moment on, with its time zone", {"type": "string", "format": "date-time"})
SYMBOL: Final = Param("symbol", "path", "as it is or escaped, `BTC/USDT` or `BTC%2FUSDT`; its base alone where that names one")
DECISION: Final = Param("decision", "query", "the id of a decision; the newest unless it is given")
ACCOUNT: Final = Param("account", "query", "which account, where several trade the symbol")
VERB: Final = Param("verb", "path", "; ".join(f"`{verb}`: {says}" for verb, says in VERBS.items()), {"type": "string", "enum": list(VERBS)})
LAST: Final = Param("Last-Event-ID", "header", "the number of the last event that was got; what came after it follows", {"type": "string"})
TAIL: Final = Param(
    "tail",
    "query",
    "begin so many lines before the newest",
    {"type": "string", "pattern": f"^[0-9]{{1,{TAIL_DIGITS_MAX}}}$"},
)
FILE: Final = Param("name", "path", "one of the page's own files")

WRONG_PARAM: Final = {400: "a parameter is not what it should be"}
COMMAND_ENDS: Final = {
    400: "the body is not what it should be",
    404: "there is no such verb, symbol, strategy, order or account",
    408: "the body has not come in time",
    409: "it cannot be done as things stand",
    413: "the body is too large",
    415: "the body is not JSON",
}

ROUTES: Final[Sequence[Route]] = (
    Route(name="page", path="/", says="the dashboard", access=Access.OPEN, media=Media.HTML, also={304: "it is unchanged"}),
    Route(
        name="file",
        path="/static/{name}",
        says="what the dashboard loads",
        access=Access.OPEN,
        media=Media.FILE,
        params=(FILE,),
        also={304: "it is unchanged", 404: "there is no such file"},
    ),
    Route(
        name="healthz",
        path="/healthz",
        says="the loop turns. For a supervisor; an exchange that is away is no reason to restart anything",
        answer=shapes.Health,
        access=Access.OPEN,
    ),
    Route(
        name="readyz",
        path="/readyz",
        says="200, or 503 with `failing`: why it may not trade just now, a sentence each",
        answer=shapes.Readiness,
        access=Access.OPEN,
        also={503: "it may not trade just now"},
        when_not=shapes.Readiness,
    ),
    Route(name="metrics", path="/metrics", says="figures for Prometheus, see [metrics](metrics.md)", media=Media.METRICS),
    Route(name="document", path="/api/v1/openapi.json", says="this list for machines (OpenAPI 3.1)", answer=dict),
    Route(name="status", path="/api/v1/status", says="the state in one mapping, readiness among it", answer=shapes.Status),
    Route(name="positions", path="/api/v1/positions", says="what is held, one row a symbol", answer=Sequence[shapes.PositionRow]),
    Route(name="targets", path="/api/v1/targets", says="what is wanted, one row a symbol", answer=Sequence[shapes.TargetRow]),
    Route(
        name="orders",
        path="/api/v1/orders",
        says="orders, the newest first",
        answer=Sequence[shapes.OrderRow],
        params=(LIMIT,),
        also=WRONG_PARAM,
    ),
    Route(
        name="fills",
        path="/api/v1/fills",
        says="trades, the newest first",
        answer=Sequence[shapes.FillRow],
        params=(LIMIT,),
        also=WRONG_PARAM,
    ),
    Route(
        name="equity",
        path="/api/v1/equity",
        says="what the account was worth, the newest first; of more than `limit` marks the last of each of so many equal stretches",
        answer=Sequence[shapes.EquityRow],
        params=(SINCE, LIMIT),
        also=WRONG_PARAM,
    ),
    Route(
        name="decisions",
        path="/api/v1/decisions",
        says="decisions, the newest first, each with the weights wanted and in `wave` what became of it",
        answer=Sequence[shapes.DecisionRow],
        params=(LIMIT,),
        also=WRONG_PARAM,
    ),
    Route(
        name="analysis",
        path="/api/v1/analysis",
        says="what the portfolio and its markets did; of several accounts each under its name in `accounts`",
        answer=Analysis | shapes.Analyses,
    ),
    Route(
        name="why",
        path="/api/v1/why/{symbol}",
        says="the story of a decision for a symbol",
        answer=Story,
        pattern="/api/v1/why/{symbol:.+}",  # a symbol has a slash in it, which a client may send as it is or escaped
        params=(SYMBOL, DECISION, ACCOUNT),
        also={404: "there is no such symbol, decision or account"},
    ),
    Route(
        name="events",
        path="/api/v1/events",
        says="what happens, live, see below",
        media=Media.EVENTS,
        params=(LAST, TAIL),
        also={503: "so many follow already that there is no place"},
    ),
    Route(
        name="command",
        path="/api/v1/{verb}",
        says="[commands](operating.md)",
        answer=shapes.Done,
        method="POST",
        access=Access.COMMAND,
        params=(VERB,),
        also=COMMAND_ENDS,
    ),
)
