"""Configuration: YAML and environment in, one frozen `Config` out, or a `ConfigError` with one sentence per mistake.

Rule: a text that the user wrote as a value is never repeated in a message; it may be a secret in the wrong place.
"""

from daemon.config.loading import load, load_all, tree
from daemon.config.models import Config
from daemon.config.resolution import resolve_addresses, resolve_secrets, resolve_token, wanted_secrets
from daemon.config.schema import json_schema
from daemon.config.secrets import Secret, SecretRef, Secrets
from daemon.config.sentences import ConfigError
from daemon.config.variants import Changes, Variants

__all__ = [
    "Changes",
    "Config",
    "ConfigError",
    "Secret",
    "SecretRef",
    "Secrets",
    "Variants",
    "json_schema",
    "load",
    "load_all",
    "resolve_addresses",
    "resolve_secrets",
    "resolve_token",
    "tree",
    "wanted_secrets",
]
