"""
`make sbom`: what a release is made of, as a CycloneDX bill of materials, from the pins, their
hashes, and the licences that the installed packages name.

The same pins give the same file, so that anybody can make it again and compare.
"""

import re
import sys
import tomllib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from tests.repository.licences import licences_of

ROOT: Final = Path(__file__).parents[2]
PIN: Final = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)(?P<rest>(?:.*\\\n)*.*)", re.MULTILINE
)
HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def make_bom(
    pins: str, project: dict[str, object], licences: Mapping[str, str] | None = None
) -> Bom:
    """
    The bill of a project, by its table in pyproject.toml, the text of its pins, and the SPDX
    expressions of its packages.
    """
    name = str(project["name"])
    version = str(project["version"])
    root = Component(
        type=ComponentType.APPLICATION,
        name=name,
        version=version,
        bom_ref=name,
        licenses=[DisjunctiveLicense(id=str(project["license"]))],
        purl=PackageURL("pypi", None, name, version),
    )
    components = [
        _component(match, (licences or {}).get(match["name"])) for match in PIN.finditer(pins)
    ]
    bom = Bom(components=components, serial_number=uuid.uuid5(uuid.NAMESPACE_URL, pins + version))
    bom.metadata.component = root
    # No time: it would make two bills of the same release differ.
    bom.metadata.timestamp = EPOCH
    bom.register_dependency(root, components)
    return bom


def _component(match: re.Match[str], licence: str | None) -> Component:
    name = match["name"]
    version = match["version"]
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{name}=={version}",
        purl=PackageURL("pypi", None, name, version),
        licenses=[LicenseExpression(licence)] if licence else [],
        hashes=[
            HashType(alg=HashAlgorithm.SHA_256, content=digest)
            for digest in HASH.findall(match["rest"])
        ],
    )


def main(path: str) -> None:
    """Write the bill of this project to a file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    text = JsonV1Dot6(make_bom(pins, project, licences_of(pins))).output_as_string(indent=2)
    Path(path).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
