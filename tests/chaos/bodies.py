"""What tasks do in chaos: the file that every worker imports. How long an attempt takes and how it ends depend on the seed, the
workflow, the task run and the attempt alone; the first and the last thing that each does is a line in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

SOURCE = """
import json, os, time
from hashlib import blake2b

from headrace.dsl import Skip, current

CHOICES = json.loads({choices!r})
ERRORS = ValueError, KeyError, OSError


def note(here, kind, output=None):
    line = [time.time(), here.effect_key, here.attempt, os.getpid(), kind, output]
    file = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, json.dumps(line).encode() + b"\\n")
    finally:
        os.close(file)


def attempt(outputs):
    here = current()
    note(here, "begin")
    name = [os.environ["CHAOS_SEED"], here.workflow, here.task, list(here.map_path), here.attempt]
    luck, how, long, much, value, _ = drawn = blake2b(json.dumps(name).encode(), digest_size=6).digest()
    time.sleep(much / 256 * (0.05 if long < 160 else 0.4 if long < 235 else 2.0))
    if luck < 40:
        note(here, "failed")
        raise ERRORS[value % 3]("scripted")
    if luck < 52:
        note(here, "skipped")
        raise Skip("scripted")
    output = outputs(drawn)
    note(here, "succeeded", json.dumps(output, separators=(",", ":")))
    return output


def body(value=None):
    return attempt(lambda drawn: (1, 2, None, True, "x", {{"no": 1}})[drawn[4] % 6])


def listing(value=None):
    return attempt(lambda drawn: list(range(drawn[4] % 4)))


def choose(value=None):
    named = CHOICES.get(current().workflow, {{}}).get(current().task, [])
    return attempt(lambda drawn: [id for place, id in enumerate(named) if drawn[4] >> place & 1])


def secret(token=None):
    return attempt(lambda drawn: len(token))
"""


def source(choices: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """The text of the module. `choices`: by workflow and task, what a switch function may name."""
    return SOURCE.format(choices=json.dumps(choices))
