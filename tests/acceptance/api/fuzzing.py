"""Every route of a real server asked at random, by its own description: python -m tests.acceptance.api.fuzzing [EXAMPLES]

The server is `headrace api` with tokens, over the SQLite file of a `headrace dev` that executes what is started. Schemathesis
makes requests from the OpenAPI description, valid ones and broken ones, and holds every answer against it: no 5xx, no
undocumented status, media type, header or body, nothing answered to who is not let in.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.api import HELLO, serving
from tests.support.waiting import PATIENCE

SECRET = "what the logins of a fuzzed server are signed with, 0123456789"
STREAMS = r"(^/api/v1/events$|/runs/\{run\}/(events|logs)$)"
"""Answers that do not end: they have tests of their own."""
SEED = 20260
CONFIG = """\
generation.deterministic = true
[checks.positive_data_acceptance]
# What a description cannot say (a cursor is one that a list gave; a workflow holds together) is refused with these.
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429"]
[checks.missing_required_header]
expected-statuses = ["401"]
"""


class Fuzzed(NamedTuple):
    """What came of it. `status`: 0 when nothing was found."""

    status: int
    requests: int
    report: str


class Target(NamedTuple):
    """A server to be fuzzed. `tokens`: by role."""

    address: str
    tokens: dict[str, str]
    log: Path


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    """A server with an engine beside it, without limits of rates."""
    (folder / "flows").mkdir()
    (folder / "flows" / "hello.yaml").write_text(HELLO)
    settings = {"HEADRACE_SECRET": SECRET, "HEADRACE_RATE_ASKER": "0", "HEADRACE_RATE_ADDRESS": "0"}
    with serving(folder, "dev", "flows"), serving(folder, "api", **settings) as served:
        tokens = {role: _token(folder, role) for role in ("admin", "viewer")}
        yield Target(served.address, tokens, served.log)


def fuzz(target: Target, role: str, examples: int, folder: Path) -> Fuzzed:
    """Ask as somebody with a role. `examples`: random requests for each operation; those that cover the description's
    limits one by one come on top."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
            f"{target.address}/schema/openapi.json",
            *("--checks", "all", "--phases", "examples,coverage,fuzzing", "--exclude-path-regex", STREAMS),
            *("--max-examples", str(examples), "--seed", str(SEED), "--request-timeout", "30"),
            *("--header", f"Authorization: Bearer {target.tokens[role]}", "--no-color"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    count = re.search(r"([\d,]+) generated", done.stdout)
    return Fuzzed(done.returncode, int(count[1].replace(",", "")) if count else 0, done.stdout + done.stderr)


def _token(folder: Path, role: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    made = subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", "tokens", "create", role, "--role", role, "--json"],
        env={**kept, "HEADRACE_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    text: str = json.loads(made.stdout)["token"]
    return text


def main(examples: int) -> int:
    with tempfile.TemporaryDirectory() as home, target(Path(home)) as served:
        asked, worst = 0, 0
        for role, share in (("admin", examples), ("viewer", max(examples // 4, 1))):
            found = fuzz(served, role, share, Path(home))
            asked += found.requests
            worst = max(worst, found.status)
            print(f"as {role}: {found.requests} requests, {'nothing found' if not found.status else 'FOUND'}")
            if found.status:
                print(found.report)
        faults = len(re.findall(r"^Traceback", served.log.read_text(), re.MULTILINE))
        print(f"{asked} requests; {faults} tracebacks in the server's log")
    return 1 if worst or faults else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600))
