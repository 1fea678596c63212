"""The compose file: what it runs is what the image, the configuration and the files beside it make of it; it opens nothing to others."""

import re
from pathlib import Path
from typing import Any, Final

from daemon.app import STOP_S
from daemon.config import load, tree, wanted_secrets

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
IMAGE: Final = (DEPLOY.parent / "Dockerfile").read_text(encoding="utf-8")
IGNORED: Final = (DEPLOY.parent / ".dockerignore").read_text(encoding="utf-8").split()


def read(path: str) -> dict[str, Any]:
    return dict(tree(DEPLOY / path, "write a compose file"))


COMPOSE: Final = read("compose.yaml")
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
DAEMON: Final = SERVICES["rebalanced"]


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What is mounted where; a variable with its default."""
    split = (re.sub(r"\$\{\w+:-(.+?)\}", r"\1", each).removesuffix(":ro").partition(":") for each in service["volumes"])
    return {to: source for source, _, to in split}


def test_all_that_is_mounted_is_there() -> None:
    """Files exist, volumes and secrets are declared, and none of these is declared for nothing."""
    named = set()
    for service in SERVICES.values():
        for source in mounts(service).values():
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            else:
                named.add(source)
    assert named == COMPOSE["volumes"].keys()
    assert {secret for service in SERVICES.values() for secret in service["secrets"]} == COMPOSE["secrets"].keys()


def test_nobody_may_more_than_he_must() -> None:
    """Published on this machine only, without capabilities or new privileges, bounded, and in images that are named by version."""
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name
        assert re.fullmatch(r"\d+m", service["mem_limit"]), name
        assert name == "rebalanced" or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
        assert not {"privileged", "network_mode", "pid", "devices", "cap_add"} & service.keys(), name
    assert DAEMON["read_only"] is True
    assert int(DAEMON["stop_grace_period"].removesuffix("s")) >= 2 * STOP_S


def test_the_ready_configuration_runs_there() -> None:
    """With what the environment overrides it is right, listens beyond its container, and every secret it needs is given."""
    config = load(DEPLOY / mounts(DAEMON)["/etc/rebalanced/config.yaml"], DAEMON["environment"])
    assert (config.api.host, config.api.port) == (DAEMON["hostname"], 8787)
    assert DAEMON["healthcheck"]["test"][-1] == f"http://{config.api.host}:{config.api.port}"
    references = [reference for _, reference in wanted_secrets(config)]
    assert [reference.credential for reference in references if reference] == DAEMON["secrets"]


def test_the_parts_know_each_other() -> None:
    """Prometheus scrapes the daemon with its token, Grafana asks Prometheus, and finds the dashboard where it looks."""
    (job,) = read("prometheus.yml")["scrape_configs"]
    # The daemon answers to the name by which it is configured, and to no other.
    assert job["static_configs"] == [{"targets": [f"{DAEMON['environment']['REBALANCED__API__HOST']}:8787"]}]
    assert job["authorization"]["credentials_file"] == "/run/secrets/token"
    (source,) = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = read("grafana/provisioning/dashboards/rebalanced.yaml")["providers"]
    assert f"{provider['options']['path']}/rebalanced.json" in mounts(SERVICES["grafana"])


def test_the_image_is_built_from_what_is_let_in() -> None:
    """All that the Dockerfile copies from the tree is let past .dockerignore, and packages are taken by hash only."""
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", IMAGE, re.MULTILINE) for word in line.split()}
    let_in = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    assert {word for word in copied if "*" not in word} | {each for each in let_in if each.endswith(".lock")} == let_in
    asked = [line for line in IMAGE.splitlines() if " install " in line and "pip" in line]
    assert len(asked) == 3
    assert all("--require-hashes" in line or "--no-deps dist/" in line for line in asked)


def test_the_image_runs_as_nobody_and_says_how_it_is() -> None:
    """A number as user, an order to stop that the daemon hears, a health check, and labels."""
    for line in ("USER 65532:65532", "STOPSIGNAL SIGTERM", 'CMD ["rebalanced", "health"]', 'ENTRYPOINT ["rebalanced"]'):
        assert f"\n{line}" in IMAGE or line in IMAGE
    assert {"title", "version", "revision", "licenses"} <= set(re.findall(r"org\.opencontainers\.image\.(\w+)", IMAGE))
