"""
`make audit`: the pinned packages against the database of known vulnerabilities.

Exit code 0: all were checked and none is known; 1: some are known; 3: the database is out of reach,
or does not know some packages, so that nothing is proved.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
VULNERABLE: Final = 1
NOT_CHECKED: Final = 3
# For one answer of the database.
TIMEOUT_S: Final = 15
# In order: the packages of the service before those of its tests.
FILES: Final = (
    *sorted(path.name for path in ROOT.glob("requirements*.txt") if "dev" not in path.name),
    "requirements-dev.txt",
)


@dataclass(frozen=True, slots=True)
class Audit:
    """
    What is known about the packages of one file: `faults` are vulnerabilities, one line each;
    `unchecked` are packages that the database did not know; `error` is why nothing was checked.
    """

    checked: int = 0
    faults: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    error: str = ""


def read_audit(output: str, errors: str) -> Audit:
    """What pip-audit printed as JSON, and on stderr where it could not."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        # The last line of a traceback names the error.
        lines = ["pip-audit printed nothing", *errors.strip().splitlines()]
        return Audit(error=lines[-1])
    unchecked = tuple(package["name"] for package in packages if "skip_reason" in package)
    faults = tuple(
        f"{package['name']} {package['version']}: {fault['id']}, "
        f"mended in {', '.join(fault['fix_versions']) or 'no version yet'}"
        for package in packages
        for fault in package.get("vulns", ())
    )
    return Audit(checked=len(packages) - len(unchecked), faults=faults, unchecked=unchecked)


def exit_code(audits: Sequence[Audit]) -> int:
    """What the audits of all files come to; a known vulnerability counts before all else."""
    if any(audit.faults for audit in audits):
        return VULNERABLE
    if any(audit.error or audit.unchecked for audit in audits):
        return NOT_CHECKED
    return 0


def report(name: str, audit: Audit) -> str:
    """What an audit found, in lines."""
    if audit.error:
        return f"{name}: the database is out of reach, nothing was checked: {audit.error}"
    lines = [f"{name}: {audit.checked} packages checked, {len(audit.faults)} known vulnerabilities"]
    lines += [f"  {fault}" for fault in audit.faults]
    if audit.unchecked:
        lines.append(
            f"  {len(audit.unchecked)} packages were not checked, since the database that is "
            f"reached from here does not know them: {', '.join(audit.unchecked)}"
        )
    return "\n".join(lines)


def audit_file(name: str, options: Sequence[str] = ()) -> Audit:
    """Run pip-audit over one file of pins."""
    command = [
        *(sys.executable, "-m", "pip_audit"),
        # The pins are complete and have hashes: nothing is resolved or installed.
        *("--require-hashes", "--disable-pip", "--requirement", str(ROOT / name)),
        *("--format", "json", "--progress-spinner", "off", "--timeout", str(TIMEOUT_S)),
        *options,
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return read_audit(done.stdout, done.stderr)


def main(options: Sequence[str]) -> int:
    """Audit all files; `options` go to pip-audit, like `--vulnerability-service osv`."""
    audits = []
    for name in FILES:
        audit = audit_file(name, options)
        sys.stdout.write(f"{report(name, audit)}\n")
        sys.stdout.flush()
        audits.append(audit)
    return exit_code(audits)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
