"""Secrets: where they are (in the file), and what they are (in memory, never in a text).

Rule: the configuration holds references only, and no message repeats what stands where a secret or its reference belongs.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import unquote

from pydantic import ConfigDict, Field, model_validator

from daemon.config.section import Section
from daemon.config.values import words, wrong

WAYS: Final = ("env", "file", "credential")
# A path like /alerts is no secret, and hiding it would hide words.
PATH_MIN: Final = 16
# Nor is a name like gmail.com or a port.
PART_MIN: Final = 10
HOW: Final = "write {env: NAME}, {file: PATH} or {credential: NAME}"


class Secret:
    """A value that shows itself only when asked to."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that signs with it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Every secret the configuration refers to; None where it refers to none or the mode needs none."""

    api_key: Secret | None = None
    secret: Secret | None = None
    password: Secret | None = None
    token: Secret | None = None
    heartbeat: Secret | None = None
    addresses: tuple[Secret, ...] = ()  # of `alerts`, in their order, those that stand in the file too

    def values(self) -> list[str]:
        """All of them, for whoever must keep them out of a text; of an address also its parts that may be a secret by themselves."""
        kept = [each.reveal() for each in (self.api_key, self.secret, self.password, self.token) if each]
        for address in (each.reveal() for each in (*self.addresses, self.heartbeat) if each):
            kept += [address, *_parts(address)]
        return kept


def _parts(address: str) -> list[str]:
    """Of a webhook the part that is not its host's name; what apprise is given has its keys anywhere, as in tgram://TOKEN/CHAT."""
    scheme, _, rest = address.partition("://")
    if scheme in ("http", "https"):
        path = rest.partition("/")[2]
        return [path] if len(path) >= PATH_MIN else []
    parts = [part for part in re.split(r"[/?&@=]+", rest) if len(part) >= PART_MIN]
    users = [rest.rpartition("@")[0].partition(":")[2]] if "@" in rest else []
    return list(dict.fromkeys([*parts, *(unquote(part) for part in (*parts, *users)), *users]))


class SecretRef(Section):
    """Where a secret is: exactly one of env, file and credential."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    env: Annotated[str | None, *words(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable", "REBALANCED_API_KEY")] = Field(
        default=None, description="Name of the environment variable that holds the value."
    )
    file: Annotated[str | None, *words(r"[^~\x00-\x1f][^\x00-\x1f]*", "a path without ~", "secrets/api-key")] = Field(
        default=None, description="Path of a file that only its owner may read; relative paths start at the configuration file."
    )
    credential: Annotated[str | None, *words(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "the name of a systemd credential", "api-key")] = Field(
        default=None, description="Name of a systemd credential (LoadCredential=NAME:PATH), a file in $CREDENTIALS_DIRECTORY."
    )

    @property
    def place(self) -> str:
        """For a person: what kind of place that is. Which one is not said: it may be the secret itself, put there by mistake."""
        return "an environment variable" if self.env is not None else "a file" if self.file is not None else "a systemd credential"

    @model_validator(mode="before")
    @classmethod
    def _is_a_reference(cls, given: Any) -> Any:
        """Judged before any key is looked at: a key or value in here may be the secret itself, so none is repeated."""
        if isinstance(given, SecretRef):
            return given
        if not isinstance(given, dict):
            raise wrong("is not a reference to a secret", HOW)
        if len(given) != 1 or not set(given) <= set(WAYS):
            raise wrong("does not name exactly one place of a secret", HOW)
        return given
