"""A release: one version, a whole wheel, known licences, a bill of materials, and an audit that says no for want of news."""

import json
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from daemon import __version__
from tests.release import audit
from tests.release.__main__ import build, content
from tests.release.audit import CLEAN, DATABASE, KNOWN, NOT_AUDITED
from tests.release.changelog import problems
from tests.release.lock import LOCK, ROOT, allowed, licence, packages
from tests.release.sbom import bill

LOCKED = packages(LOCK.read_text(encoding="utf-8"))
UNRELEASED = "# Changelog\n\n## [Unreleased]\n"
ADDED = "\n### Added\n\n- Something.\n"


def tracked(*folders: str) -> list[str]:
    told = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return told.stdout.split()


def test_the_wheel_holds_all_that_the_program_needs(tmp_path: Path) -> None:
    """Every file of daemon/ and strategies/ is in it, the page's among them, and the ready configurations."""
    wheel, sdist = build(tmp_path)
    names = set(content(wheel))
    ready = {path.replace("config/", "daemon/ready/", 1) for path in tracked("config")}
    assert {*tracked("daemon", "strategies"), *ready} <= names
    assert not [name for name in names if name.startswith("tests") or name.endswith((".sqlite", ".pyc"))]
    assert all(path.name.startswith(f"rebalanced-{__version__}") for path in (wheel, sdist))


def test_the_version_stands_in_one_place() -> None:
    """pyproject.toml says it, what is installed has it from there, and no other text of the program or its packaging repeats it."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert said == __version__
    texts = [ROOT / name for name in tracked("daemon", "strategies", "systemd", "deploy", "config", "Dockerfile", "README.md", "Makefile")]
    assert [path.name for path in texts if path.suffix != ".png" and __version__ in path.read_text(encoding="utf-8")] == []


def test_every_licence_is_one_that_is_allowed() -> None:
    """Each locked package says under which licence it comes, and this program may be used with it."""
    assert {package.name: licence(package.name) for package in LOCKED if not allowed(licence(package.name))} == {}


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [("MIT", True), ("MIT AND GPL-3.0-only", False), ("MPL-2.0 AND (GPL-2.0-only OR MIT)", True), ("GPL-3.0-only", False), ("", False)],
)
def test_a_licence_that_binds_us_is_seen(expression: str, *, verdict: bool) -> None:
    """Every part must be allowed, where one may choose one of them, and what is not known is not allowed."""
    assert allowed(expression) is verdict


def test_the_bill_of_materials_is_the_lock() -> None:
    """It names each locked package with version, hashes and licence, says who needs whom, and is the same for the same lock."""
    told = json.loads(bill(__version__, LOCKED))
    assert [(each["name"], each["version"]) for each in told["components"]] == [(each.name, each.version) for each in LOCKED]
    assert all(each["licenses"] and each["externalReferences"][0]["hashes"] for each in told["components"])
    needs = {each["ref"]: each["dependsOn"] for each in told["dependencies"]}
    reached, waiting = set(), [told["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        reached.add(ref)
        waiting += set(needs[ref]) - reached
    assert reached == set(needs), "everything is there because somebody needs it"
    assert bill(__version__, LOCKED) == bill(__version__, LOCKED) != bill("9.9.9", LOCKED)


def test_the_changelog_is_fit_for_this_version() -> None:
    """What a user notices of the version at hand stands where it belongs."""
    assert list(problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)) == []


@pytest.mark.parametrize(
    ("text", "version", "complaint"),
    [
        (f"{UNRELEASED}{ADDED}", "0.1.0.dev0", ""),
        (UNRELEASED, "0.1.0.dev0", "nothing under"),
        (f"{UNRELEASED}\n## [0.1.0] - 2026-11-28\n{ADDED}", "0.1.0", ""),
        (f"{UNRELEASED}{ADDED}", "0.1.0", "no heading"),
        (f"{UNRELEASED}{ADDED}\n## [0.1.0] - 2026-11-28\n{ADDED}", "0.1.0", "belongs under"),
        (f"{UNRELEASED}\n## [0.1.0]\n{ADDED}", "0.1.0", "YYYY-MM-DD"),
        (f"{UNRELEASED}\n## [0.1.0] - 2026-13-28\n{ADDED}", "0.1.0", "YYYY-MM-DD"),
        (f"{UNRELEASED}\n## [0.1.0] - 2026-11-28\n\n## [0.2.0] - 2026-11-29\n", "0.1.0", "go down"),
        (f"{UNRELEASED}\n### News\n\n- Something.\n", "0.1.0.dev0", "a section News"),
        ("# Changelog\n", "0.1.0.dev0", "first heading"),
    ],
)
def test_a_changelog_that_is_not_fit_is_told(text: str, version: str, complaint: str) -> None:
    """A released version has a dated heading and leaves nothing unreleased, one of development has something to tell."""
    found = list(problems(text, version))
    assert (not found) if not complaint else any(complaint in problem for problem in found)


ANSWERS: Mapping[str, tuple[dict[str, Any], int]] = {
    "nothing is known": ({"json": {"results": "each"}}, CLEAN),
    "something is": ({"json": {"results": "first"}}, KNOWN),
    "an answer is missing": ({"json": {"results": []}}, NOT_AUDITED),
    "no results": ({"json": {}}, NOT_AUDITED),
    "not what it was": ({"json": ["results"]}, NOT_AUDITED),
    "no JSON": ({"text": "<html>"}, NOT_AUDITED),
    "an error": ({"status_code": 503}, NOT_AUDITED),
    "a page of a proxy": ({"status_code": 302, "headers": {"Location": "https://login.example"}}, NOT_AUDITED),
}


@pytest.mark.parametrize("case", ANSWERS)
@respx.mock
def test_an_audit_never_passes_for_want_of_news(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Advisories that cannot be had, or not be understood, are not the same as none: the audit says so and fails."""
    answer, code = ANSWERS[case]

    def answers(request: httpx.Request) -> httpx.Response:
        empty: list[dict[str, Any]] = [{} for _ in json.loads(request.content)["queries"]]
        results = {"each": empty, "first": [{"vulns": [{"id": "GHSA-1"}]}, *empty[1:]]}
        told = dict(answer)
        if isinstance(told.get("json"), dict) and isinstance(told["json"].get("results"), str):
            told["json"] = {"results": results[told["json"]["results"]]}
        return httpx.Response(**({"status_code": 200} | told))

    respx.post(DATABASE).mock(side_effect=answers)
    assert audit.main() == code
    told = capsys.readouterr()
    assert ("not audited" in told.err) is (code == NOT_AUDITED)
    assert ("GHSA-1" in told.out) is (code == KNOWN)


@respx.mock
def test_an_audit_without_a_network_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can be reached it says "not audited", with what to do."""
    respx.post(DATABASE).mock(side_effect=httpx.ConnectError("no route"))
    assert audit.main() == NOT_AUDITED
    assert re.search(r"not audited: .*no route.*try again", capsys.readouterr().err)
