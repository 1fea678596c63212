"""Secrets: where they are (in the file), and what they are (in memory, never in a text).

Rule: the configuration holds references only, and no message repeats what stands where a secret or its reference belongs.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, model_validator

from daemon.config.section import Section
from daemon.config.values import words, wrong

WAYS: Final = ("env", "file", "credential")
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
