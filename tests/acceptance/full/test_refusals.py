"""What an operator may have got wrong: one message that says what and what to do, exit status 3, nothing stored."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.deployment import Deployment, opened
from tests.support.members import Done
from tests.support.servers import BreakableServers, Servers

NOWHERE = "127.0.0.1:1"
SERVING: list[tuple[str, ...]] = [("engine",), ("worker",)]
ASKING: list[tuple[str, ...]] = [
    ("engine",),
    ("db", "check"),
    ("db", "upgrade"),
    ("runs", "list"),
    ("register", "w.yaml"),
    ("trigger", "w"),
    ("runs", "cancel", "last"),
    ("why", "last"),
]
SOME: list[tuple[str, ...]] = [("engine",), ("db", "upgrade"), ("trigger", "w")]
"""Those that stand for the others."""


@pytest.fixture(scope="module")
def place(lab: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Where everything is as it should be, until a test says otherwise."""
    with opened(lab, tmp_path_factory.mktemp("refusals")) as made:
        (made.folder / "w.yaml").write_text("workflow: w\ntasks: {a: {noop: {}}}\n")
        yield made


def typed(place: Deployment, commands: list[tuple[str, ...]], **settings: str) -> dict[str, Done]:
    """Each command, two at a time."""
    with ThreadPoolExecutor(2) as threads:
        done = threads.map(lambda words: place(*words, **settings), commands)
    return {" ".join(words): one for words, one in zip(commands, done, strict=True)}


def refuses(place: Deployment, commands: list[tuple[str, ...]], *said: str, **settings: str) -> list[Done]:
    """Each of them says it once, in words, and ends with 3."""
    answers = typed(place, commands, **settings)
    for words, done in answers.items():
        assert done.status == 3, f"{words}: {done.status} {done.out}{done.err}"
        assert "Traceback" not in done.err
        assert done.out == ""
        for part in said:
            assert part in done.err, f"{words}: {done.err}"
        assert done.err.startswith("headrace: ")
        assert len(done.err.splitlines()) <= 4, f"{words}: {done.err}"
    return list(answers.values())


def test_no_broker(place: Deployment) -> None:
    commands = [*SERVING, ("topics", "ensure")]
    refuses(place, commands, f"Kafka at {NOWHERE} cannot be reached", HEADRACE_KAFKA=NOWHERE)


def test_no_database_server(place: Deployment) -> None:
    url = f"postgresql://me:hidden@{NOWHERE}/headrace"
    for done in refuses(place, [*ASKING, ("topics", "ensure")], NOWHERE, HEADRACE_DATABASE_URL=url):
        assert "hidden" not in done.err


@pytest.mark.parametrize("wrong", ["user", "database"])
def test_no_such_user_and_no_such_database(place: Deployment, wrong: str) -> None:
    server, _, name = place.url.rpartition("/")
    urls = {"user": f"{server.replace('postgres@', 'stranger@')}/{name}", "database": f"{server}/elsewhere"}
    said = {"user": "stranger", "database": "elsewhere"}
    refuses(place, SOME, said[wrong], HEADRACE_DATABASE_URL=urls[wrong])


def test_an_engine_needs_a_cluster(place: Deployment) -> None:
    refuses(place, [("engine",)], "HEADRACE_DATABASE_URL", HEADRACE_DATABASE_URL="sqlite:///x.db")
    refuses(place, SERVING, "HEADRACE_KAFKA names none", HEADRACE_KAFKA="")


def test_a_database_without_tables(place: Deployment, lab: Servers) -> None:
    url = lab.database_url("empty", schema=False)
    needed = [words for words in SOME if words != ("db", "upgrade")]
    refuses(place, needed, "headrace db upgrade", HEADRACE_DATABASE_URL=url)
    lab.drop_database(url)


@pytest.mark.parametrize(
    ("revision", "said"), [("0001", "Run `headrace db upgrade`"), ("9999", "of a newer Headrace")]
)
def test_a_schema_of_another_version(
    lab: Servers, tmp_path: Path, place: Deployment, revision: str, said: str
) -> None:
    with opened(lab, tmp_path) as other:
        other.execute(f"UPDATE headrace_schema SET version_num = '{revision}'; DELETE FROM spoken")
        needed = [words for words in SOME if words != ("db", "upgrade")]
        refuses(place, needed, said, revision, HEADRACE_DATABASE_URL=other.url)


def test_topics_that_are_missing(place: Deployment) -> None:
    refuses(place, [("engine",)], "job-status", "headrace topics ensure", HEADRACE_KAFKA_PREFIX="nobodys.")


def test_topics_that_do_not_fit_the_database(place: Deployment, lab: Servers) -> None:
    prefix = lab.kafka_prefix()
    made = place("topics", "ensure", "--parts", "3", HEADRACE_KAFKA_PREFIX=prefix)
    assert made.status == 0, made.err
    for words in (("engine",), ("topics", "ensure")):
        done = place(*words, HEADRACE_KAFKA_PREFIX=prefix)
        assert (done.status, "job-status" in done.err, "Traceback" in done.err) == (3, True, False), done.err


def test_a_wrong_password(breakable_lab: BreakableServers, place: Deployment) -> None:
    """The lab's PostgreSQL trusts everybody, so it is first taught to ask."""
    url = breakable_lab.database_url("guarded")
    breakable_lab.query("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    rules = Path(breakable_lab.query("SHOW hba_file").strip())
    rules.write_text("host all guarded all scram-sha-256\n" + rules.read_text())
    breakable_lab.query("SELECT pg_reload_conf()")
    wrong = url.replace("postgres@", "guarded:wr0ng@")
    for done in refuses(place, SOME, "guarded", HEADRACE_DATABASE_URL=wrong):
        assert "wr0ng" not in done.err


def test_two_engines_of_one_name(place: Deployment) -> None:
    """The second says that the first lives; the first goes on."""
    first = place.engine("twin").ready()
    refuses(place, [("engine", "--id", "twin")], "twin")
    assert first.lives
    assert first.terminate() == 0


def test_nobody_stored_anything(place: Deployment) -> None:
    assert place.rows("SELECT count(*) AS runs FROM runs")[0]["runs"] == 0
    assert place.rows("SELECT count(*) AS versions FROM versions")[0]["versions"] == 0
