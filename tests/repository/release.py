"""
`make release-check`: builds what a release is made of into dist/, and checks it.

Wheel and sdist are opened and their contents compared with the repository; the wheel's metadata is
validated; the README is rendered as an index does. Beside them lie the bill of materials, the
licences of all packages and the notes of the version.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click
from markdown_it import MarkdownIt
from packaging.metadata import Metadata

from tests.repository.licences import PIN, licences_of, unusual
from tests.repository.sbom import main as write_sbom

ROOT: Final = Path(__file__).parents[2]
DIST: Final = ROOT / "dist"
PACKAGES: Final = ("service", "workers")
# What the programs read at run time, beside Python: all of these are in the wheel.
DATA: Final = ("*.lua", "*.html", "*.css", "*.js", "*.svg", "py.typed", "scenarios/*.json")
# Nothing of these may come along.
FORBIDDEN: Final = re.compile(r"(^|/)(tests?|\.env|secrets|__pycache__|\.venv|\.git)(/|$)|\.pyc$")
SDIST_FILES: Final = ("LICENSE", "README.md", "pyproject.toml")
LINK: Final = re.compile(r"\]\((?!https?://|#)([^)\s]+)\)")


def main() -> None:
    """The command."""
    _command()


@click.command()
def _command() -> None:
    """Build a release into dist/ and check it. Exit code 1 if something is wrong."""
    shutil.rmtree(DIST, ignore_errors=True)
    _build()
    faults = [*wheel_faults(_only("*.whl")), *sdist_faults(_only("*.tar.gz")), *readme_faults()]
    write_sbom(str(DIST / "sbom.json"))
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    licences = licences_of(pins)
    faults += [f"a licence that nobody has allowed: {line}" for line in unusual(licences)]
    faults += _unknown(pins, licences)
    (DIST / "LICENCES.md").write_text(licence_table(licences), encoding="utf-8")
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version())
    (DIST / "RELEASE_NOTES.md").write_text(notes, encoding="utf-8")
    for path in sorted(DIST.iterdir()):
        click.echo(f"dist/{path.name}  {path.stat().st_size / 1024:.0f} KB")
    for fault in faults:
        click.echo(f"WRONG: {fault}", err=True)
    if faults:
        raise SystemExit(1)
    click.echo("wheel, sdist, metadata, README, licences: nothing wrong")


def version() -> str:
    """The version that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def wheel_faults(path: Path) -> Iterator[str]:
    """What is wrong with a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (record,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = wheel.read(record)
    try:
        fields = Metadata.from_email(text, validate=True)
    except ExceptionGroup as err:
        yield from (f"metadata: {fault}" for fault in err.exceptions)
        return
    if fields.description_content_type != "text/markdown":
        yield f"metadata: the README is {fields.description_content_type}"
    if not any(name.endswith("licenses/LICENSE") for name in names):
        yield "the wheel has no LICENSE"
    yield from (f"the wheel lacks {name}" for name in sorted(set(_data_files()) - set(names)))
    yield from (f"the wheel has {name}" for name in names if FORBIDDEN.search(name))


def sdist_faults(path: Path) -> Iterator[str]:
    """What is wrong with an sdist."""
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    expected = {*SDIST_FILES, *_data_files()}
    yield from (f"the sdist lacks {name}" for name in sorted(expected - set(names)))
    yield from (f"the sdist has {name}" for name in names if FORBIDDEN.search(name))


def readme_faults() -> Iterator[str]:
    """What an index could not show of the README: markup that does not render, dead links."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    if "<h1>" not in html or "<table>" not in html:
        yield "the README does not render"
    yield from (
        f"the README links to {target}, which is not there"
        for target in LINK.findall(text)
        if not (ROOT / target.partition("#")[0]).exists()
    )


def release_notes(changelog: str, of_version: str) -> str:
    """The section of a version; of what is not released, if that comes first."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, body = section.partition("\n")
        if heading.startswith(("[Unreleased]", f"[{of_version}]")) and body.strip():
            return f"# buildr-calls {heading}\n{body.rstrip()}\n"
    raise ValueError(f"the changelog has no section of {of_version}")


def licence_table(licences: dict[str, str]) -> str:
    """The licences of all packages, in Markdown."""
    rows = [f"| {name} | {licence} |" for name, licence in sorted(licences.items())]
    return "\n".join(["| package | licence |", "|---|---|", *rows]) + "\n"


def _data_files() -> Iterator[str]:
    for package in PACKAGES:
        for pattern in ("*.py", *DATA):
            for path in (ROOT / package).rglob(pattern):
                yield path.relative_to(ROOT).as_posix()


def _unknown(pins: str, licences: dict[str, str]) -> Iterable[str]:
    for match in PIN.finditer(pins):
        if match["name"] not in licences:
            yield f"{match['name']} does not say its licence, or is not installed here"


def _only(pattern: str) -> Path:
    (path,) = DIST.glob(pattern)
    return path


def _build() -> None:
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"nothing was built:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    # setuptools leaves these; the site of the docs lies in build/ too.
    for path in (ROOT / "build" / "lib", *ROOT.glob("build/bdist.*")):
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
