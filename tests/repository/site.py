"""
The pages of the documentation site, put together from Markdown that is read in the repository too:
`make docs` writes them to build/site/pages, and Zensical makes the site of them.

A link to a file that is no page leads to the page that shows all files for deployment.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ROOT / "build" / "site" / "pages"
FENCE: Final = re.compile(r"^ *(```|~~~)")
LINK: Final = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
STEP: Final = re.compile(r"\d+\. ")
HEADING: Final = re.compile(r"^#{1,6} +(.+?) *#*$")
OUTSIDE: Final = re.compile(r"^[a-z][a-z0-9+.-]*:")
# Pages that are not in docs/, or have another name on the site.
MOVED: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "SECURITY.md": "reporting.md",
    "docs/telephony/README.md": "telephony/index.md",
    "docs/decisions": "decisions.md",
}
FILES: Final = "files.md"
FILES_HEAD: Final = """# Files for deployment

What `deploy/` of the repository holds. [Operating it](operating.md) says what each is for.
"""
# Shown on the page of files; the order is that of the page.
SHOWN: Final = ("Procfile", "deploy")
LANGUAGES: Final = {
    ".json": "json",
    ".py": "python",
    ".sh": "sh",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".service": "ini",
    ".socket": "ini",
}


def pages() -> dict[str, Path]:
    """The Markdown files of the repository that are pages, by their path on the site."""
    site_pages = {MOVED[name]: ROOT / name for name in MOVED if name.endswith(".md")}
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT).as_posix()
        if name not in MOVED:
            site_pages[path.relative_to(ROOT / "docs").as_posix()] = path
    return site_pages


def without_code(text: str) -> Iterator[tuple[int, str]]:
    """The lines of Markdown that are not in a block of code, with their numbers from 0."""
    fence = ""
    for number, line in enumerate(text.split("\n")):
        opening = FENCE.match(line)
        if opening and not fence:
            fence = opening[1]
        elif opening and opening[1] == fence:
            fence = ""
        elif not fence:
            yield number, line


def links(text: str) -> Iterator[str]:
    """The targets of all links and pictures of a page that lead to this repository."""
    for _, line in without_code(text):
        for target in LINK.findall(line):
            if not OUTSIDE.match(target):
                yield target


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = (HEADING.match(line) for _, line in without_code(text))
    return {slug(heading[1]) for heading in headings if heading is not None}


def slug(heading: str) -> str:
    """The anchor of a heading: its words in lower case, with hyphens."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")


def resolve(page: Path, target: str) -> tuple[Path, str]:
    """The file that a link of a page leads to, and its anchor."""
    path, _, anchor = target.partition("#")
    if not path:
        return page, anchor
    return Path(os.path.normpath(page.parent / unquote(path))), anchor


def site_target(page: Path, site_page: str, target: str) -> str:
    """What a link of a page is on the site."""
    file, anchor = resolve(page, target)
    name = file.relative_to(ROOT).as_posix()
    if name in MOVED:
        site_name = MOVED[name]
    elif name.startswith("docs/"):
        site_name = name.removeprefix("docs/")
    else:
        site_name = FILES
        anchor = slug(_first_file(file).relative_to(ROOT).as_posix())
    relative = os.path.relpath(site_name, Path(site_page).parent)
    return f"{relative}#{anchor}" if anchor else relative


def site_text(site_page: str, page: Path) -> str:
    """A page as it is on the site."""
    text = _map_links(
        page.read_text(encoding="utf-8"), lambda target: site_target(page, site_page, target)
    )
    return with_indented_steps(text)


def with_indented_steps(text: str) -> str:
    """
    The text with what belongs to a numbered step at four spaces, in place of GitHub's three: the
    builder of the site otherwise ends the list there, and each step is number 1.
    """
    lines = []
    is_in_step = False
    for line in text.split("\n"):
        is_continued = line.startswith("   ")
        if line and not is_continued:
            is_in_step = STEP.match(line) is not None
        lines.append(f" {line}" if is_in_step and is_continued else line)
    return "\n".join(lines)


def files_page() -> str:
    """The page of the files for deployment, and of those that other pages link to."""
    parts = [FILES_HEAD]
    for file in sorted(shown_files()):
        name = file.relative_to(ROOT).as_posix()
        language = LANGUAGES.get(file.suffix, "text")
        text = file.read_text(encoding="utf-8").rstrip("\n")
        parts.append(f"## {name}\n\n````{language}\n{text}\n````\n")
    return "\n".join(parts)


@cache
def shown_files() -> frozenset[Path]:
    """The files on that page; large ones, such as a dashboard, are not."""
    files = {
        file
        for name in SHOWN
        for file in [ROOT / name, *(ROOT / name).rglob("*")]
        if file.is_file() and "secrets" not in file.parts
    }
    for page in pages().values():
        for target in links(page.read_text(encoding="utf-8")):
            file, _ = resolve(page, target)
            is_page = file.is_relative_to(ROOT / "docs") or file.suffix == ".md"
            if not is_page and file.is_file():
                files.add(file)
    return frozenset(files)


def decisions_page() -> str:
    """The list of all decisions, the newest first."""
    lines = ["# Decisions\n", "What shaped the service, and why. The newest comes first.\n"]
    for file in sorted((ROOT / "docs" / "decisions").glob("*.md"), reverse=True):
        title = file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        lines.append(f"- [{title}](decisions/{file.name})")
    return "\n".join([*lines, ""])


def write(folder: Path = PAGES) -> None:
    """Write all pages, pictures and data of the site into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.md"))
    for site_page, page in pages().items():
        file = folder / site_page
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(site_text(site_page, page), encoding="utf-8")
    (folder / FILES).write_text(files_page(), encoding="utf-8")
    (folder / "decisions.md").write_text(decisions_page(), encoding="utf-8")


def _first_file(path: Path) -> Path:
    """The file itself, or the first one of a folder."""
    if path.is_file():
        return path
    return min(file for file in path.rglob("*") if file in shown_files())


def _map_links(text: str, change: Callable[[str], str]) -> str:
    def replace(match: re.Match[str]) -> str:
        return match[1] if OUTSIDE.match(match[1]) else change(match[1])

    lines = text.split("\n")
    for number, line in without_code(text):
        lines[number] = LINK.sub(replace, line)
    return "\n".join(lines)


if __name__ == "__main__":
    write()
