"""
Every command line in a `sh` block of the pages is run, in the order of its page, on an installation
in this process. What cannot be run is named here, with its reason.
"""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from service.settings import load_installation, names
from tests.repository.docs_commands.data import SEEDS, write_files
from tests.repository.docs_commands.lines import (
    ShownLine,
    commands_in_texts,
    shown_lines,
    shown_pages,
)
from tests.repository.docs_commands.reader import PageReader
from tests.repository.docs_commands.surroundings import SURROUNDINGS, surroundings
from tests.repository.docs_commands.system import shown_system
from tests.repository.site import ROOT
from workers.cli.program import PROGRAM
from workers.cli.tail_follow import Follower

ANOTHER_TEST: Final = "tests/repository/test_docs_standard.py runs this block"
# By how a line begins.
NOT_RUN: Final = {
    "git clone ": "needs the address of the repository",
    "sudo apt-get ": "installs packages of the system",
    "sudo useradd ": "makes a user",
    "sudo python3 -m venv ": "writes into /opt; tests/repository/release.py installs the wheel",
    "sudo /opt/buildr-calls/bin/pip ": "installs from a registry",
    "sudo tee ": "writes into /etc",
    "sudo systemctl ": "needs systemd",
    "sudo install ": "writes into /etc",
    "sudo mv ": "writes into /etc",
    "sudo chown ": "needs a user of its own",
    "sudo chmod ": "needs a user of its own",
    "sed 's/calls.example.com/": "writes into /etc",
    "alias buildr-calls=": "needs a user of its own",
    "tar -C /var/lib/redis ": "reads /var/lib; make rehearse backs a Redis up",
    "cp /var/lib/redis/": "reads /var/lib; make rehearse backs a Redis up",
    "redis-server /etc/redis/": "reads /etc; make rehearse restores a Redis",
    "buildr-calls run ": "starts processes; tests/workers/local/test_run.py runs it",
    "make ": "takes minutes; tests/repository/test_docs_commands.py looks for the target",
    "body='{": ANOTHER_TEST,
    "name=": ANOTHER_TEST,
    "now=": ANOTHER_TEST,
    "key=": ANOTHER_TEST,
    "signature=": ANOTHER_TEST,
    'curl --fail --silent --show-error "$PUBLIC_URL/': ANOTHER_TEST,
}
HAND_EDITED: Final = "buildr-calls replay --state hand_edited --since 7d --dry-run"
ENSURE: Final = "buildr-calls subscriptions ensure"
# Commands of which the page says that they fail in this case, with what they print.
FAILS: Final = {
    ("README.md", 'buildr-calls explain "(500) 555-0006"'): (1, "several calls fit"),
    ("docs/backfill.md", "buildr-calls reconcile twilio"): (1, "missing here"),
    ("docs/backfill.md", "buildr-calls backfill twilio --resume"): (1, "no run was ended"),
    ("docs/replay.md", HAND_EDITED): (1, "hand-edited in Buildr: 1"),
    ("docs/troubleshooting.md", HAND_EDITED): (1, "hand-edited in Buildr: 1"),
    ("docs/subscriptions.md", f"{ENSURE} --dry-run"): (1, "aircall: to be done by hand"),
    ("docs/subscriptions.md", ENSURE): (1, "aircall: to be done by hand"),
}
# Commands in a text that go on until they are ended, and those that are only named there.
GOES_ON: Final = frozenset({"listen", "mcp", "run", "sandbox", "serve", "work"})
NAMED_ONLY: Final = re.compile(r"[a-z]+(-[a-z]+)?( [a-z]+)?( --offline| --dry-run)?")
# Variables of pages that are no settings: what a shell keeps for the next line.
NO_SETTINGS: Final = frozenset({"ENV_FILE", "STATE", "BOTH", "RETRIES"})
# A value that the reader has to fill in.
LEFT_OPEN: Final = re.compile(r"\.\.\.|/run/secrets/|KEY")
OF_AN_ACCOUNT: Final = re.compile(r"^ACCOUNT__[A-Z]+__|_FILE$")
# What is named in a line that is not run has to be there.
OWN_FILE: Final = re.compile(r"(?<![\w/])(?:deploy/[\w./*-]+|requirements[\w.-]*\.txt)")

PAGES: Final = [page for page in shown_pages() if shown_lines(page)]
LINES: Final = [line for page in PAGES for line in shown_lines(page)]


def reasons(line: ShownLine) -> list[str]:
    """The entries of `NOT_RUN` for a line; none for one that is run."""
    return [start for start in NOT_RUN if line.text.startswith(start)]


def settings_of(page: str) -> dict[str, str]:
    """The settings that the lines of a page make, also those that are left open."""
    pairs = [line.assignment for line in shown_lines(page) if not reasons(line)]
    return {name: value for name, value in filter(None, pairs) if name not in NO_SETTINGS}


def lines_to_run(page: str) -> list[ShownLine]:
    """The lines of a page that are run; none for a page that only shows settings."""
    lines = [line for line in shown_lines(page) if not reasons(line)]
    return lines if any(line.assignment is None for line in lines) else []


def is_alone(page: str) -> bool:
    """Whether the commands of a page make their calls themselves."""
    return page.startswith("docs/telephony/")


async def poll_once(self: Follower, *, poll_s: float = 0) -> None:
    """`tail` until Ctrl-C, which comes after what there is."""
    await self.poll()
    raise KeyboardInterrupt


@pytest.mark.parametrize("page", [page for page in PAGES if lines_to_run(page)])
def test_commands_of_a_page_do_what_it_says(
    page: str, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0, or what `FAILS` says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Follower, "run", poll_once)
    write_files(PROGRAM, tmp_path)
    values = {
        name: value for name, value in settings_of(page).items() if not LEFT_OPEN.search(value)
    }
    faults = []
    with (
        surroundings(page) as more,
        shown_system(tmp_path, redis_url, values | more) as system,
    ):
        for seed in () if is_alone(page) else SEEDS:
            seed(system)
        reader = PageReader(system)
        for line in lines_to_run(page):
            done = reader.run(line)
            code, text = FAILS.get((page, line.text), (0, ""))
            if done.code != code or text not in done.output:
                faults.append(f"{line.place}\n{done.code}: {done.output}")
    assert not faults, "\n".join(faults)


def test_commands_in_texts_end_in_order(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Their order is not that of a reader, so that some find nothing to do; none ends with an error of
    Python or is wrong usage, unless the text only names it.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Follower, "run", poll_once)
    write_files(PROGRAM, tmp_path)
    commands = commands_in_texts()
    assert len(commands) > 80
    faults = []
    # What subscriptions need is what most commands can do with.
    with (
        surroundings("docs/subscriptions.md") as more,
        shown_system(tmp_path, redis_url, {"DIALLER": "tel", **more}) as system,
    ):
        for seed in SEEDS:
            seed(system)
        for command in commands:
            words = shlex.split(command)
            if words[0] in GOES_ON:
                continue
            (tmp_path / ".env").unlink(missing_ok=True)
            done = system.run(*words)
            is_named_only = NAMED_ONLY.fullmatch(command) is not None
            if (done.code > 1 and not is_named_only) or done.exception is not None:
                faults.append(f"{PROGRAM} {command}\n{done.code}: {done.output}")
    assert not faults, "\n".join(faults)


def test_what_is_not_run_is_on_a_page() -> None:
    """No entry of the tables is left over, and each line has one at most."""
    texts = {(line.page, line.text) for line in LINES}
    used = [reasons(line) for line in LINES]
    assert set(NOT_RUN) == {start for starts in used for start in starts}
    assert [] == [starts for starts in used if len(starts) > 1]
    assert set(FAILS) <= texts
    assert {
        name for line in LINES if line.assignment for name in line.assignment[:1]
    } >= NO_SETTINGS
    assert set(SURROUNDINGS) <= set(PAGES)


@pytest.mark.parametrize("page", [page for page in PAGES if settings_of(page)])
def test_settings_of_a_page_are_read(page: str, tmp_path: Path) -> None:
    """Their names exist; those whose values are not left open are taken."""
    values = settings_of(page)
    known = {*names(), *NO_SETTINGS}
    assert set() == {OF_AN_ACCOUNT.sub("", name) for name in values} - known
    load_installation(
        {name: value for name, value in values.items() if not LEFT_OPEN.search(value)},
        cwd=tmp_path,
    )


def test_files_in_lines_that_are_not_run_exist() -> None:
    """Those of this repository, patterns included."""
    texts = [line.text for line in LINES if reasons(line)]
    files = {name for text in texts for name in OWN_FILE.findall(text)}
    assert {name for name in files if not list(ROOT.glob(name))} == set()
    assert "deploy/systemd/*" in files
