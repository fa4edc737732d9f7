"""All measures, one after the other, each in a process of its own: python -m bench [--quick] [NAME ...]

NAME: embedded, async, planning, memory, newcomer, api; full, full-async, full-two, kill, live, trigger and waking, on real Kafka and PostgreSQL (bench/cluster.py).
`peers` are the workloads by which engines of this kind are compared, in full mode: a chain, a fan, diamonds, layers, and from a request to the first task.
JSON lines; a measure that cannot run says so and fails the command.
"""

from __future__ import annotations

import subprocess
import sys

from bench.say import say

MEASURES: dict[str, tuple[str, ...]] = {
    "embedded": ("bench.embedded",),
    "async": ("bench.embedded", "--async"),
    "planning": ("bench.planning",),
    "memory": ("bench.memory",),
    "newcomer": ("bench.newcomer",),
    "api": ("bench.api",),
    "full": ("bench.full",),
    "full-async": ("bench.full", "--async"),
    "full-two": ("bench.full", "--workers", "2"),
    "kill": ("bench.kill",),
    "live": ("bench.live",),
    "trigger": ("bench.trigger",),
    "waking": ("bench.waking",),
}

GROUPS = {"peers": ("full", "trigger")}


def main(arguments: list[str]) -> int:
    quick = ["--quick"] if "--quick" in arguments else []
    named = [argument for argument in arguments if argument != "--quick"]
    unknown = [name for name in named if name not in MEASURES and name not in GROUPS]
    if unknown:
        print(
            f"No such measure: {', '.join(unknown)}. There are {', '.join((*MEASURES, *GROUPS))}.",
            file=sys.stderr,
        )
        return 2
    named = [name for each in named for name in GROUPS.get(each, (each,))]
    failed = 0
    for name in named or MEASURES:
        module, *flags = MEASURES[name]
        status = subprocess.run((sys.executable, "-m", module, *flags, *quick), check=False).returncode
        if status:
            say(measure=name, failed=True, status=status)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
