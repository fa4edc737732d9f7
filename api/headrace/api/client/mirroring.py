"""Makes `sync` from `aio`: the same modules without what waits. A test fails when the files are not what this makes.

python -m headrace.api.client.mirroring
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
FROM, TO = HERE / "aio", HERE / "sync"

_WORDS = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncGenerator\[(.+), None\]", r"Generator[\1, None, None]"),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"\baclosing\b", "closing"),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"^import asyncio$", "import time"),
    (r"\bheadrace\.api\.client\.aio\b", "headrace.api.client.sync"),
    (r"The client that awaits\. `sync` is made from it", "The client that blocks, made from `aio`"),
)
_RULES = tuple((re.compile(pattern, re.MULTILINE), made) for pattern, made in _WORDS)


def mirrored() -> Iterator[tuple[Path, str]]:
    """Every file of `sync` and what belongs into it. Takes ruff, which lays out what has become shorter."""
    for source in sorted(FROM.glob("*.py")):
        text = source.read_text(encoding="utf-8")
        for pattern, made in _RULES:
            text = pattern.sub(made, text)
        yield TO / source.name, _laid_out(text, TO / source.name)


def _laid_out(text: str, path: Path) -> str:
    for command in (
        ("check", "--select", "I,UP028", "--fix", "--unsafe-fixes", "--quiet"),
        ("format", "--quiet"),
    ):
        words = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(words, input=text, text=True, capture_output=True, check=True).stdout
    return text


def main() -> None:
    """Write them."""
    TO.mkdir(exist_ok=True)
    for path, text in mirrored():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
