"""
Under which licences the packages are that a release needs, by what they say of themselves.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from typing import Final

PIN: Final = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
# Names of older metadata, and their SPDX identifiers.
SPDX: Final[Mapping[str, str]] = {
    "Apache 2": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# What a release may depend on without asking anybody.
ALLOWED: Final = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0"}
    | {"PSF-2.0", "Python-2.0"}
)


def licences_of(pins: str) -> dict[str, str]:
    """The SPDX expression of each pinned package that is installed here, by its name."""
    licences = {}
    for match in PIN.finditer(pins):
        licence = licence_of(match["name"])
        if licence is not None:
            licences[match["name"]] = licence
    return licences


def licence_of(name: str) -> str | None:
    """The SPDX expression of an installed package; None if there is none, or it says none."""
    try:
        fields = metadata(name)
    except PackageNotFoundError:
        return None
    if "License-Expression" in fields:
        return fields["License-Expression"]
    classifiers = [
        value.rpartition(" :: ")[2]
        for value in fields.get_all("Classifier") or ()
        if value.startswith("License :: ")
    ]
    if classifiers:
        return " OR ".join(sorted({SPDX.get(value, value) for value in classifiers}))
    # Some have the whole text of their licence there.
    if "License" not in fields or "\n" in fields["License"]:
        return None
    return SPDX.get(fields["License"], fields["License"])


def unusual(licences: Mapping[str, str]) -> list[str]:
    """The packages under a licence that nobody has allowed."""
    return [
        f"{name}: {licence}"
        for name, licence in licences.items()
        if not set(_parts(licence)) <= ALLOWED
    ]


def _parts(expression: str) -> Iterable[str]:
    return re.split(r" (?:AND|OR) |[()]", expression)
