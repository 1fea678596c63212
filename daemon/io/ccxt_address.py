"""Which hosts a configuration implies, and the URLs that ccxt is given for them.

Rule: a call goes to a host that the configuration implies or it does not go. Implied are the venue's own hosts for the mode (its test
environment in sandbox mode, its production otherwise) as long as the user names no others. A user who names hosts outside the venue's own
domain means another server of the same protocol: then those hosts alone are implied, and what they do not name (a websocket, a margin API)
is not called, rather than half of the conversation going to the real venue in silence.

`urls` as the user may give them under `exchange.ccxt`:

    live       urls.api; urls.test and urls.demo are not looked at
    sandbox    urls.test, else urls.demo (then `enable_demo_trading`), else urls.api, read as if it were urls.test

So one and the same `urls.api` addresses a server of one's own in both modes; in sandbox mode it must not name a production host.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from daemon.io.exchange import Fatal, Reason

PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}

MODES: Final = ("api", "test", "demo")

# Here `set_sandbox_mode` leads to an environment that is closed; their `enable_demo_trading` is its successor (ccxt announces it so).
DEMO_INSTEAD: Final = frozenset({"binancecoinm", "binanceusdm"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ccxt instance may call.

    `urls` goes into its constructor; `switch` names the method that selects the mode, called with True before all else; None: production.
    `hosts` are host:port; `domains` are whole domains of the venue (production only: a venue may name a host there in an answer).
    `unnamed` are hosts of the venue that this configuration leaves out: they are not called, but nobody tampered with anything either.
    """

    urls: Mapping[str, object]
    switch: str | None
    hosts: frozenset[str]
    unnamed: frozenset[str]
    domains: frozenset[str] = field(default_factory=frozenset)

    def implies(self, url: str) -> bool:
        """Whether this URL may be called."""
        return endpoint(url) in self.hosts or domain(url) in self.domains


def address(own: Mapping[str, object], given: Mapping[str, object], *, venue: str, hostname: str, sandbox: bool) -> Address:
    """The address book of a mode: `own` are the class's urls, `given` the user's.

    Raises:
        Fatal: sandbox mode where the venue has no test environment, or where a production host would be called; a key that leads nowhere.
    """
    stray = [key for key in given if key not in own and key not in MODES]
    if stray:  # ccxt would ignore it, and call the real venue
        raise Fatal(f"exchange.ccxt.urls.{stray[0]} is not looked at: name it below {', '.join(MODES)}", Reason.BAD_REQUEST)
    named = {key: given[key] for key in MODES if given.get(key)}
    return _sandbox(own, named, venue, hostname) if sandbox else _live(own, named, hostname)


def endpoint(url: str) -> str:
    """host:port of a URL, in lower case, with the scheme's own port where it names none."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}:{parts.port or PORTS.get(parts.scheme, 0)}"


def domain(url: str) -> str:
    """The last two labels of a URL's host; an address in numbers, or a single label, is its own domain."""
    host = urlsplit(url).hostname or ""
    labels = host.split(".")
    return host if len(labels) < 2 or labels[-1].isdigit() or ":" in host else ".".join(labels[-2:])


def merged(base: object, over: object) -> object:
    """`over` laid over `base`, deeply; the last word is `over`'s."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
    return base if over is None else over


def _live(own: Mapping[str, object], named: Mapping[str, object], hostname: str) -> Address:
    user = list(_urls(named.get("api"), hostname))
    venue = list(_urls(own.get("api"), hostname))
    urls = {"api": merged(own.get("api"), named.get("api"))}
    if _elsewhere(user, venue):
        hosts = frozenset(map(endpoint, user))
        return Address(urls, None, hosts, _all(own, hostname) - hosts)
    hosts = frozenset(map(endpoint, [*venue, *user]))
    return Address(urls, None, hosts, _all(own, hostname) - hosts, frozenset(map(domain, venue)))


def _sandbox(own: Mapping[str, object], named: Mapping[str, object], venue: str, hostname: str) -> Address:
    key = _test_key(own, named, venue)
    source = named.get("test" if key == "test" else "demo", named.get("api"))
    user = list(_urls(source, hostname))
    test = list(_urls(own.get(key), hostname))
    if not user and not test:
        raise Fatal(f"{venue} has no test environment: use mode paper, or name one under exchange.ccxt.urls.test", Reason.BAD_REQUEST)
    production = set(_urls(own.get("api"), hostname))
    for url in user:
        if domain(url) in map(domain, production) and endpoint(url) not in map(endpoint, _tests(own, hostname)):
            raise Fatal(f"{urlsplit(url).netloc} is a production host of {venue}: sandbox mode does not call it", Reason.BAD_REQUEST)
    hosts = frozenset(map(endpoint, user if _elsewhere(user, test) else [*test, *user]))
    return Address({key: merged(own.get(key), source)}, _switch(key), hosts, _all(own, hostname) - hosts)


def _test_key(own: Mapping[str, object], named: Mapping[str, object], venue: str) -> str:
    demo = "demotrading" if "demotrading" in own else "demo"  # the classes differ in the name
    if "test" not in named and ("demo" in named or (demo in own and (venue in DEMO_INSTEAD or "test" not in own))):
        return demo
    return "test"


def _switch(key: str) -> str:
    return "set_sandbox_mode" if key == "test" else "enable_demo_trading"


def _elsewhere(user: list[str], venue: list[str]) -> bool:
    """Whether the user names a host that is not in one of the venue's domains."""
    return any(domain(url) not in set(map(domain, venue)) for url in user)


def _all(own: Mapping[str, object], hostname: str) -> frozenset[str]:
    return frozenset(map(endpoint, [*_urls(own.get("api"), hostname), *_tests(own, hostname)]))


def _tests(own: Mapping[str, object], hostname: str) -> Iterator[str]:
    for key in ("test", "demo", "demotrading"):
        yield from _urls(own.get(key), hostname)


def _urls(tree: object, hostname: str) -> Iterator[str]:
    """Every URL in a tree of them."""
    if isinstance(tree, str):
        yield tree.replace("{hostname}", hostname)
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _urls(value, hostname)
