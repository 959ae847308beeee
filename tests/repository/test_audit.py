"""
`make audit` and `make sbom`: what they say of the pins, and what they say when they cannot.
"""

import json
import tomllib
from pathlib import Path

import pytest
from cyclonedx.output.json import JsonV1Dot6

from tests.repository.audit import Audit, exit_code, read_audit, report
from tests.repository.sbom import ROOT, make_bom

FAULT = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"], "aliases": [], "description": "..."}
OUTPUT = json.dumps(
    {
        "dependencies": [
            {"name": "a", "version": "1.0", "vulns": [FAULT]},
            {"name": "b", "version": "1.0", "vulns": []},
            {"name": "c", "skip_reason": "Dependency not found on PyPI"},
        ],
        "fixes": [],
    }
)


def test_audit_tells_what_is_known_and_what_was_not_checked() -> None:
    """A package that the database does not know is not fine."""
    audit = read_audit(OUTPUT, "")
    fault = "a 1.0: PYSEC-2026-1, mended in 2.0"
    assert Audit(checked=2, faults=(fault,), unchecked=("c",)) == audit
    assert fault in report("requirements.txt", audit)
    assert "1 packages were not checked" in report("requirements.txt", audit)


def test_database_that_is_out_of_reach_is_reported() -> None:
    """Nothing was checked, which is no all-clear."""
    audit = read_audit("", "Traceback ...\nConnectionError: no route to pypi.org")
    text = report("requirements.txt", audit)
    assert "out of reach, nothing was checked: ConnectionError: no route to pypi.org" in text


@pytest.mark.parametrize(
    ("audits", "expected"),
    [
        ([Audit(checked=3), Audit(checked=4)], 0),
        ([Audit(checked=3), Audit(error="away")], 3),
        ([Audit(checked=3, unchecked=("c",))], 3),
        ([Audit(error="away"), Audit(checked=1, faults=("a",))], 1),
    ],
)
def test_exit_code_is_zero_only_if_all_was_checked(audits: list[Audit], expected: int) -> None:
    """A script that calls it can tell the cases apart."""
    assert expected == exit_code(audits)


def test_bill_holds_every_pin_with_its_hashes() -> None:
    """What pip would install is what the bill says, and the same pins make the same bill."""
    pins = Path(ROOT / "requirements.txt").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [JsonV1Dot6(make_bom(pins, project)).output_as_string() for _ in range(2)]
    assert texts[0] == texts[1]
    bill = json.loads(texts[0])
    names = [line.partition("==")[0] for line in pins.splitlines() if "==" in line]
    assert sorted(names) == sorted(component["name"] for component in bill["components"])
    hashes = [entry for component in bill["components"] for entry in component["hashes"]]
    assert pins.count("--hash=sha256:") == len(hashes)
    assert "buildr-calls" == bill["metadata"]["component"]["name"]
