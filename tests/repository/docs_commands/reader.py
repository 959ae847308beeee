"""
A reader of a page who runs its lines, one after the other.
"""

import re
from datetime import UTC, date, datetime
from typing import Final

from redis import Redis

from service.settings import names
from service.sources import SOURCES
from tests.repository.docs_commands.data import write_files
from tests.repository.docs_commands.lines import ShownLine
from tests.repository.docs_commands.shell import curl_request
from tests.repository.docs_commands.system import HOST, Done, ShownSystem
from workers.cli.program import PROGRAM

WEBHOOK: Final = re.compile(rf"{HOST}/webhooks/(\w+)")
# The day on which the dates of the pages were some days ago.
WRITTEN_ON: Final = date(2026, 11, 29)
DATE: Final = re.compile(r"\b20\d\d-\d\d-\d\d\b")
# Commands that go on until Ctrl-C, and the option by which they end with what there is.
ENDLESS: Final = {"listen": ("--once",)}
EXPORT: Final = "export "


class PageReader:
    """Runs lines on an installation; what a line exports holds to the end of its block."""

    def __init__(self, system: ShownSystem) -> None:
        self._system: Final = system
        self._assignments: Final[list[str]] = []
        self._exported: Final[dict[int, dict[str, str]]] = {}

    def run(self, line: ShownLine) -> Done:
        """Run one line, and wait until no call is due because of it."""
        if line.assignment is not None:
            return self._assign(line, *line.assignment)
        program = line.words[0]
        if program == PROGRAM:
            done = self._run_command(line)
        elif program == "redis-cli":
            done = self._run_redis_cli(line)
        else:
            assert program == "curl", f"{line.place}: add it to NOT_RUN, or run it"
            done = self._run_curl(line)
        self._system.wait_for_rest()
        return done

    def _assign(self, line: ShownLine, name: str, value: str) -> Done:
        if line.text.startswith(EXPORT):
            self._exported.setdefault(line.block, {})[name] = value
        else:
            self._assignments.append(line.text)
        return Done(code=0, output="")

    def _run_command(self, line: ShownLine) -> Done:
        write_files(" ".join(line.words), self._system.folder)
        words = [_of_today(word).replace(HOST, self._system.url) for word in line.words[1:]]
        if "--folder" in words:
            words[words.index("--folder") + 1] = str(self._system.folder / "etc")
        words += ENDLESS.get(words[0], ())
        return self._system.run(*words, **self._exported.get(line.block, {}))

    def _run_redis_cli(self, line: ShownLine) -> Done:
        """By the client's library: the program may not be on this machine."""
        command, _, pattern = line.text.partition(" | grep ")
        with Redis.from_url(self._system.variables["REDIS_URL"]) as client:
            output = str(client.execute_command(*command.split()[1:]))
        return Done(code=int(pattern not in output), output=output)

    def _run_curl(self, line: ShownLine) -> Done:
        """Send it if it is for the receiver; else only look at what a vendor would get."""
        variables = dict.fromkeys(names(), "a-setting") | self._system.variables
        script = [*self._assignments, line.text]
        request = curl_request(script, variables, self._system.folder)
        if request.url.startswith(HOST):
            return request.send(self._system.url)
        assert request.url.startswith("https://"), line.place
        # A fault in the quotation marks would end here.
        request.json()
        sources = WEBHOOK.findall(" ".join([request.body or "", *request.fields]))
        return Done(code=int(not set(sources) <= set(SOURCES)), output=str(sources))


def _of_today(text: str) -> str:
    """A text whose dates are as many days ago as they were when it was written."""
    span = datetime.now(UTC).date() - WRITTEN_ON
    return DATE.sub(lambda match: str(date.fromisoformat(match[0]) + span), text)
