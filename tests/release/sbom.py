"""The bill of materials of a release (CycloneDX 1.6, JSON), made of the lock: the same lock gives the same bytes."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from tests.release.lock import Package, licence

US: Final = "rebalanced"


def bill(version: str, locked: Sequence[Package], licence_of: Callable[[str], str] = licence) -> str:
    """The whole of it. `licence_of`: the SPDX expression of a package, "" where it is not known."""
    refs = {US: f"pkg:pypi/{US}@{version}"} | {package.name: _ref(package) for package in locked}
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**_component(US, version, refs[US], "Apache-2.0"), "type": "application"}},
        "components": [{**_component(p.name, p.version, _ref(p), licence_of(p.name)), **_files(p)} for p in locked],
        "dependencies": [{"ref": ref, "dependsOn": _needs(name, locked)} for name, ref in refs.items()],
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return json.dumps({**content, "serialNumber": f"urn:uuid:{serial}"}, indent=1, sort_keys=True) + "\n"


def _ref(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _component(name: str, version: str, ref: str, expression: str) -> dict[str, Any]:
    told = {"type": "library", "name": name, "version": version, "purl": ref, "bom-ref": ref}
    return told | ({"licenses": [{"expression": expression}]} if expression else {})


def _files(package: Package) -> dict[str, Any]:
    """Every file that the lock lets in."""
    hashes = [{"alg": "SHA-256", "content": each} for each in package.hashes]
    url = f"https://pypi.org/project/{package.name}/{package.version}/"
    return {"externalReferences": [{"type": "distribution", "url": url, "hashes": hashes}]}


def _needs(name: str, locked: Sequence[Package]) -> list[str]:
    return sorted(_ref(package) for package in locked if name in {parent.partition("[")[0] for parent in package.parents})
