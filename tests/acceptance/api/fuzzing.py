"""Every route of a real server asked at random, by its own description: python -m tests.acceptance.api.fuzzing [EXAMPLES [AT_ONCE]]

The server is `headrace api` with tokens, over the SQLite file of a `headrace dev` that executes what is started. Schemathesis
makes requests from the OpenAPI description, valid ones and broken ones, and holds every answer against it: no 5xx, no
undocumented status, media type, header or body, nothing answered to who is not let in.

Half of the names in paths are made up, and half are of what is there: a run that has ended and one that goes on, their tasks,
their workflows. Answers that stream are read for a moment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import httpx2

from headrace.api.paging import cursor_of
from tests.support.api import HELLO, serving
from tests.support.waiting import PATIENCE

SECRET = "what the logins of a fuzzed server are signed with, 0123456789"
SEED = 20260
STREAM_SECONDS = 2
"""How long an answer that does not end is read."""
WAITS = "workflow: waits\ntasks:\n  first: {sleep: 24h}\n"
CONFIG = f"""\
max-stream-events = 5

[[operations]]
include-path-regex = '/runs/{{run}}/(events|logs)$'
request-timeout = {STREAM_SECONDS}

[[operations]]
include-path = "/api/v1/events"
request-timeout = {STREAM_SECONDS}
max-stream-events = 1
"""
CHECKS = """
[checks.positive_data_acceptance]
# What a description cannot say (a cursor is one that a list gave; a workflow holds together) is refused with these.
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "431"]
[checks.missing_required_header]
expected-statuses = ["401"]
"""


class Fuzzed(NamedTuple):
    """What came of it. `status`: 0 when nothing was found."""

    status: int
    requests: int
    report: str


class Target(NamedTuple):
    """A server to be fuzzed. `tokens`: by role; `spare`: the id of one that may be revoked; `runs`: one that has ended, one
    that goes on."""

    address: str
    tokens: dict[str, str]
    spare: str
    runs: tuple[str, str]
    log: Path

    @property
    def faults(self) -> int:
        """Tracebacks in the server's log."""
        return len(re.findall(r"^Traceback", self.log.read_text(), re.MULTILINE))

    def answered(self) -> Counter[int]:
        """What it has answered up to now, by status, as it counts itself."""
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        text = httpx2.get(f"{self.address}/metrics", headers=headers, timeout=PATIENCE).text
        found: Counter[int] = Counter()
        for status, count in re.findall(
            r'^headrace_api_requests_total{.*status="(\d+)"} (\S+)', text, re.MULTILINE
        ):
            found[int(status)] += int(float(count))
        return found


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    """A server with an engine beside it, without limits of rates."""
    (folder / "flows").mkdir()
    (folder / "flows" / "hello.yaml").write_text(HELLO)
    (folder / "flows" / "waits.yaml").write_text(WAITS)
    settings = {"HEADRACE_SECRET": SECRET, "HEADRACE_RATE_ASKER": "0", "HEADRACE_RATE_ADDRESS": "0"}
    with serving(folder, "dev", "flows"), serving(folder, "api", **settings) as served:
        tokens = {role: _token(folder, role) for role in ("admin", "viewer")}
        spare = _token(folder, "viewer", "spare").split("_")[1]
        headers = {"Authorization": f"Bearer {tokens['admin']}"}
        with httpx2.Client(base_url=served.address, headers=headers, timeout=PATIENCE) as client:
            runs = (_start(client, "hello"), _start(client, "waits"))
            client.get(f"/api/v1/runs/{runs[0]}?wait=30s").raise_for_status()
        yield Target(served.address, tokens, spare, runs, served.log)


def fuzz(target: Target, role: str, examples: int, folder: Path, seed: int | None = None) -> Fuzzed:
    """Ask as somebody with a role. `examples`: random requests for each operation; those that cover the description's
    limits one by one come on top. `folder`: for this alone. `seed` None: the same requests every time."""
    config = folder / "schemathesis.toml"
    fixed = "generation.deterministic = true" if seed is None else f"seed = {seed}"
    config.write_text(f"{fixed}\n{CONFIG}{CHECKS}{_known(target)}")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
            *(str(_description(target, folder)), "--url", target.address),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(examples), "--request-timeout", "30"),
            *("--header", f"Authorization: Bearer {target.tokens[role]}", "--no-color"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    count = re.search(r"([\d,]+) generated", done.stdout)
    return Fuzzed(done.returncode, int(count[1].replace(",", "")) if count else 0, done.stdout + done.stderr)


def _known(target: Target) -> str:
    """Names of what is there, for half of the requests; and no token but the spare one, for whoever revokes the token that is
    asked with gets no further."""
    known = {
        "path.run": (target.runs, 0.5),
        "path.task": (["greet", "first"], 0.5),
        "path.name": (["hello", "waits"], 0.5),
        "path.version": ([1], 0.5),
        "path.attempt": ([1], 0.5),
        "query.cursor": ([cursor_of(1), cursor_of("a")], 0.5),
        "path.id": ([target.spare], 1.0),
    }
    lines = []
    for place, (values, share) in known.items():
        _, _, name = place.partition(".")
        lines.append(f"[dictionaries.{name}]\nvalues = {json.dumps(values)}")
        lines.append(f'[parameters."{place}"]\ndictionary = "{name}"\nprobability = {share}')
    return "\n".join(lines) + "\n"


def _start(client: httpx2.Client, workflow: str) -> str:
    answer = client.post(f"/api/v1/workflows/{workflow}/runs", json={}).raise_for_status()
    run: str = answer.json()["run"]
    return run


def _description(target: Target, folder: Path) -> Path:
    """The server's own. That a request may name its project is left out of all but one route: a token has one project, so that
    nearly every request would end there."""
    document = httpx2.get(f"{target.address}/schema/openapi.json", timeout=PATIENCE).raise_for_status().json()
    project = {"$ref": "#/components/parameters/Project"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            parameters = operation.get("parameters", [])
            if project in parameters and not path.endswith("/me"):
                parameters.remove(project)
    written = folder / "openapi.json"
    written.write_text(json.dumps(document))
    return written


def _token(folder: Path, role: str, name: str | None = None) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "headrace.cli.main",
            "tokens",
            "create",
            name or role,
            "--role",
            role,
            "--json",
        ],
        env={**kept, "HEADRACE_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    text: str = json.loads(made.stdout)["token"]
    return text


def main(examples: int, at_once: int) -> int:
    """`at_once`: processes that ask; making requests up takes longer than answering them."""
    with (
        tempfile.TemporaryDirectory() as home,
        target(Path(home)) as served,
        ThreadPoolExecutor(at_once) as pool,
    ):

        def part(number: int) -> Fuzzed:
            folder = Path(home) / f"part-{number}"
            folder.mkdir()
            role = ("admin", "viewer")[number % 2]
            found = fuzz(served, role, max(examples // at_once, 1), folder, SEED + number)
            said = "nothing found" if not found.status else f"FOUND\n{found.report}"
            print(f"as {role}: {found.requests:,} requests, {said}", flush=True)
            return found

        began = monotonic()
        parts = list(pool.map(part, range(2 * at_once)))
        answered, faults = served.answered(), served.faults
        print(f"{sum(one.requests for one in parts):,} requests in {monotonic() - began:.0f} s")
        print("answers: " + ", ".join(f"{status} {count:,}" for status, count in sorted(answered.items())))
        print(f"{faults} tracebacks in the server's log")
    return 1 if faults or any(one.status for one in parts) or any(status >= 500 for status in answered) else 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*given, *(500, 2)[len(given) :]))
