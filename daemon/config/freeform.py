"""The free mapping `exchange.ccxt`: anything ccxt's constructor takes, except what must not stand in a file.

Rule: secrets come by reference only, also through the back door.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from daemon.config.values import Mistake, all_wrong, plain, wrong

# ccxt's names of credentials, and headers that carry some; compared without case, hyphens and underscores.
SECRET_KEYS: Final = {"login", "uid", "twofa", "authorization", "cookie", "walletaddress", "mnemonic", "accountid"}
SECRET_ENDINGS: Final = ("apikey", "secret", "secretkey", "password", "passphrase", "privatekey", "token")
URL_WITH_PASSWORD: Final = re.compile(r"://[^/@\s]+@")


def without_secrets(given: Any) -> dict[str, Any]:
    """The mapping with plain numbers, as ccxt wants them; refused if any key or URL in it is one of a secret."""
    if not isinstance(given, Mapping):
        raise wrong("is not a mapping", "write keys and values below it, or {}")
    if smuggled := list(_secrets_in(given, ())):
        raise all_wrong(smuggled)
    found: dict[str, Any] = plain(given)
    return found


def _secrets_in(given: Any, loc: tuple[str | int, ...]) -> Iterator[Mistake]:
    """Every place of a secret."""
    items = given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list | tuple) else ()
    for key, value in items:
        place = (*loc, key)
        if _is_secret(str(key)):
            yield Mistake(place, "is a secret", "refer to it in exchange.credentials")
        elif isinstance(value, str) and URL_WITH_PASSWORD.search(value):
            yield Mistake(
                place, "is a URL with a password", "put that URL in the variable HTTPS_PROXY and set aiohttp_trust_env to true here"
            )
        else:
            yield from _secrets_in(value, place)


def _is_secret(key: str) -> bool:
    name = re.sub(r"[^a-z0-9]", "", key.lower())
    return name in SECRET_KEYS or name.endswith(SECRET_ENDINGS)
