"""Kinds of values that several sections have.

Rule: a kind says by itself what is wrong with a value, as a sentence.
"""

from typing import Annotated

from pydantic import BeforeValidator

from daemon.config.values import truth, words

Truth = Annotated[bool, BeforeValidator(truth)]
Asset = Annotated[str, *words(r"[^\s/:,]{1,30}", "the code of an asset", "USDT")]
Symbol = Annotated[str, *words(r"[^\s/:,]{1,30}/[^\s/:,]{1,30}(?::[^\s/:,]{1,30})?", "a symbol", "BTC/USDT, or BTC/USDT:USDT of a swap")]
