"""The command: try mutants out and say what became of each. Exit code 1 when one survives or does not fit any more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.mutants import MUTANTS
from tests.mutants.trial import bench, sound_first


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description="Faults that the tests must catch."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a mutant; none: all of them")
    parser.add_argument("--list", action="store_true", help="say what there is, and try nothing")
    asked = parser.parse_args(arguments)
    known = {mutant.name: mutant for mutant in MUTANTS}
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"there is no mutant {', '.join(unknown)}")
    chosen = [known[name] for name in asked.names] or list(MUTANTS)
    if asked.list:
        for mutant in chosen:
            print(f"{mutant.name:36} {mutant.file}\n    {mutant.why}\n    caught by {mutant.test}")
        return 0
    with bench() as at:
        wrong = sound_first(at, chosen)
        if wrong is not None:
            print(f"The tests fail although nothing is wrong:\n{wrong}")
            return 1
        bad = 0
        for mutant in chosen:
            result = at.try_out(mutant)
            bad += not result.verdict.good
            print(f"{mutant.name:36} {result.verdict.value:18} {result.seconds:6.1f} s", flush=True)
            if not result.verdict.good:
                print(f"    {mutant.why}\n    {mutant.test}\n    " + result.told.replace("\n", "\n    "))
    print(f"{len(chosen) - bad} of {len(chosen)} caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
