"""`headrace init`: a folder with two workflows that run at once, the settings, and the schema for the editor."""

from __future__ import annotations

import shlex
from pathlib import Path

from headrace.cli.export import write_schema
from headrace.cli.failure import Stop
from headrace.cli.output import say

HELLO_YAML = """\
# yaml-language-server: $schema=.headrace/workflow.schema.json
workflow: hello
description: Two tasks; the second waits for the first and reads what it found.
params:
  name: {type: string, default: world}
tasks:
  look:
    shell: |
      echo "Looking around for $NAME"
      echo "{\\"name\\": \\"$NAME\\", \\"files\\": $(ls | wc -l)}"
    env: {NAME: "${{ params.name }}"}
  greet:
    shell: echo "Hello, $NAME. There are $FILES files here."
    env:
      NAME: "${{ tasks.look.output.name }}"
      FILES: "${{ tasks.look.output.files }}"
output: "${{ tasks.look.output }}"
"""

HELLO_PY = '''\
"""A workflow in Python: one task per word, as many at once as there is room, then a sum."""

from headrace.dsl import Retry, task, workflow


@task
def split(text: str) -> list[str]:
    return text.split()


@task(retry=Retry(attempts=3, delay="1s"))
def count(word: str) -> int:
    print(f"counting {word}")
    return len(word)


@task
def total(lengths: list[int]) -> int:
    return sum(lengths)


@workflow
def letters(text: str = "the quick brown fox"):
    """How many letters a text has, counted word by word."""
    words = split(text)
    return total(count.map(words))
'''

HEADRACE_TOML = """\
# Settings. A flag wins over HEADRACE_* variables, these over .env, and that over this file.
# `headrace config show` lists all of them, with where each value comes from.

home = ".headrace"        # database, artifacts and logs of runs on this machine
# slots = 8               # tasks at once
# http_allow = ["intranet.example", "10.1.0.0/16"]   # private addresses that http tasks may call
"""

FILES = {"hello.yaml": HELLO_YAML, "hello.py": HELLO_PY, "headrace.toml": HEADRACE_TOML}


def init(folder: Path = Path(), /) -> int:
    """Make a folder with two workflows that run at once.

    Nothing that exists is overwritten.

    Parameters
    ----------
    folder
        Where; made when it does not exist.
    """
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise Stop(
            f"{folder} has {', '.join(taken)} already.", hint="Give another folder: headrace init my-flows"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Stop(f"{folder} cannot be written: {error.strerror or error}.") from None
    schema = write_schema(folder / ".headrace")
    for path in (*(folder / name for name in FILES), schema):
        say(f"  {path}")
    go = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    say(f"\nNow:\n  {go}headrace run hello.yaml\n  {go}headrace run hello.py -p text='to be or not to be'")
    return 0
