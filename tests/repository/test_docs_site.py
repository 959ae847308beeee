"""
The site of the documentation is whole: every page is in its navigation, every link and anchor leads
somewhere. The site itself is built, strictly, by `make docs`, and beside the tests by `make test`.
"""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.repository.site import (
    FILES,
    OUTSIDE,
    ROOT,
    anchors,
    decisions_page,
    files_page,
    links,
    pages,
    resolve,
    site_target,
    slug,
    with_indented_steps,
    without_code,
    write,
)

CONFIG: Final = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAV: Final = CONFIG[CONFIG.index("\nnav:") :]
TEXTS: Final = {page: page.read_text(encoding="utf-8") for page in pages().values()}


def test_every_page_is_in_the_navigation_once() -> None:
    """A page that is not in `nav` of mkdocs.yml is found by nobody; decisions have a list."""
    listed = re.findall(r"[\w/-]+\.md$", NAV, flags=re.MULTILINE)
    site_pages = [page for page in pages() if not page.startswith("decisions/")]
    assert sorted([*site_pages, FILES, "decisions.md"]) == sorted(listed)


@pytest.mark.parametrize("site_page", sorted(pages()))
def test_every_link_and_anchor_leads_somewhere(site_page: str) -> None:
    """Links name a file of the repository and, if it is a page, one of its headings."""
    page = pages()[site_page]
    wrong = []
    for target in links(TEXTS[page]):
        file, anchor = resolve(page, target)
        is_page = file in TEXTS
        if not file.exists() or (anchor and is_page and anchor not in anchors(TEXTS[file])):
            wrong.append(target)
    assert [] == wrong


def test_no_page_shows_pictures_of_other_hosts() -> None:
    """Whoever reads the site, or the README in a registry, asks no other host for anything."""
    lines = [line for text in TEXTS.values() for _, line in without_code(text)]
    assert [] == [line for line in lines if re.search(r"!\[[^\]]*\]\(https?:|<img[^>]+http", line)]
    assert "font: false" in CONFIG


def test_links_are_kept_within_the_site(tmp_path: Path) -> None:
    """What is written for the site has no link that leads out of it, and nothing is missing."""
    write(tmp_path / "pages")
    for site_page in (*pages(), FILES):
        file = tmp_path / "pages" / site_page
        for target in links(file.read_text(encoding="utf-8")):
            assert (file.parent / target.partition("#")[0]).exists() or target.startswith("#")
    assert (tmp_path / "pages" / "pictures").is_dir()


def test_a_link_to_a_file_for_deployment_leads_to_its_heading() -> None:
    """Files and folders that are no pages are shown on one."""
    page = ROOT / "docs" / "telephony" / "twilio.md"
    target = site_target(page, "telephony/twilio.md", "../../deploy/systemd")
    assert target == "../files.md#deploysystemdbuildr-calls-webservice"
    assert target.partition("#")[2] in anchors(files_page())


def test_the_list_of_decisions_holds_each() -> None:
    """The newest comes first."""
    listed = re.findall(r"\(decisions/(\d{4}-[\w-]+\.md)\)", decisions_page())
    files = [file.name for file in (ROOT / "docs" / "decisions").glob("*.md")]
    assert sorted(files, reverse=True) == listed


def test_anchors_are_those_of_github() -> None:
    """Signs are left out, each blank becomes a hyphen, a link counts by its text."""
    assert slug("1. `serve` & [work](x.md): what's *new*") == "1-serve--work-whats-new"
    assert OUTSIDE.match("https://example.com") is not None


def test_what_belongs_to_a_step_is_indented_for_the_site() -> None:
    """Else each step of a list would be number 1, with its commands outside of it."""
    text = "1. First:\n\n   ```sh\n   make run\n   ```\n\n2. Second.\n\n- a\n   b\n"
    expected = "1. First:\n\n    ```sh\n    make run\n    ```\n\n2. Second.\n\n- a\n   b\n"
    assert expected == with_indented_steps(text)
