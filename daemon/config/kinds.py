"""Kinds of values that several sections have.

Rule: a kind says by itself what is wrong with a value, as a sentence.
"""

from typing import Annotated

from pydantic import BeforeValidator

from daemon.config.values import truth, words

Truth = Annotated[bool, BeforeValidator(truth)]
Asset = Annotated[str, *words(r"[^\s/:,]{1,30}", "the code of an asset", "USDT")]
Symbol = Annotated[str, *words(r"[^\s/:,]{1,30}/[^\s/:,]{1,30}(?::[^\s/:,]{1,30})?", "a symbol", "BTC/USDT, or BTC/USDT:USDT of a swap")]
# It becomes file names, log fields, the systemd instance and the namespace of the client order ids.
Name = Annotated[
    str, *words(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", "a name of at most 40 lower-case letters, digits and hyphens", "momentum-spot")
]
