"""What facts about a deployment mean: judgements for `headrace doctor`, each with what to do. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from headrace.cli.output import span
from headrace.engine.ports.cache import Degraded
from headrace.engine.ports.checkup import BrokerFacts, CacheFacts, DatabaseFacts, FileFacts, Waiting

Level: TypeAlias = Literal["ok", "advice", "problem", "unreachable"]

HEARD_SECONDS = 15.0
"""A worker that no engine has heard for so long counts as gone."""
TAKEN_SECONDS = 10.0
"""Engines look into every inbox each second; what has waited for so long is waiting for somebody who is not there."""
AHEAD_SECONDS = 8 * 86_400.0
"""Weeks are made four ahead, daily: with less than this left nobody has made any for a fortnight."""
SKEW_SECONDS, WRONG_SECONDS = 2.0, 60.0
CROWDED = 0.8
DAY_MILLISECONDS = 86_400_000
SCARCE_BYTES, LITTLE_BYTES = 100 * 2**20, 2**30
MOST_NAMED = 8

_PROMISES = {
    "fsync": "a loss of power can damage the whole database",
    "full_page_writes": "a loss of power can damage single pages",
    "synchronous_commit": "what was acknowledged can be lost, and a task start again that has ended",
}


class Finding(NamedTuple):
    """`area`: database, kafka, redis, engines, workers or runs. `do` None: nothing has to be done."""

    area: str
    level: Level
    says: str
    do: str | None = None


def of_database(facts: DatabaseFacts, *, cluster: bool) -> list[Finding]:
    """`cluster`: whether engines and workers of a cluster are expected on it."""
    found = [
        Finding(
            "database",
            "ok",
            f"PostgreSQL {facts.server} has the current schema, {_counted(len(facts.survey.parts), 'part')} and "
            f"{_counted(facts.live_runs, 'live run')}.",
        )
    ]
    found += _settings(facts.settings)
    found += _connections(facts)
    for table, until in sorted(facts.prepared_until.items()):
        left = until - facts.survey.now
        if left < AHEAD_SECONDS:
            says = (
                f"{table} has weeks for {span(left)} more" if left > 0 else f"{table} has no week for today"
            )
            do = "Run: headrace db upgrade. A live engine makes them daily; look into the logs why none did."
            found.append(
                Finding("database", "advice", f"{says}; rows beyond go to its default partition.", do)
            )
    found += _clock(facts.skew, facts.doubt)
    if cluster:
        found += _engines(facts)
        found += _workers(facts)
    found += _letters(facts.open_letters, facts.unreadable)
    return found


def of_broker(facts: BrokerFacts, offsets: Mapping[int, int]) -> list[Finding]:
    """`offsets`: of each part of the database, up to where job-status was read."""
    says = (
        f"Kafka has {_counted(facts.brokers, 'broker')} and {_counted(len(facts.topics), 'topic')} of ours."
    )
    found = [Finding("kafka", "ok", says)]
    found += [Finding("kafka", "problem", problem) for problem in facts.problems]
    found += _offsets(facts.status, offsets)
    few = [t.name for t in facts.topics if t.replicas < min(3, facts.brokers)]
    if few:
        found.append(
            Finding(
                "kafka",
                "advice",
                f"{_listed(few)}: fewer than {min(3, facts.brokers)} replicas, although there are brokers for them.",
                "Give them more (kafka-reassign-partitions), or the loss of one broker loses messages.",
            )
        )
    unclean = [t.name for t in facts.topics if t.config.get("unclean.leader.election.enable") == "true"]
    if unclean:
        found.append(
            Finding(
                "kafka",
                "problem",
                f"{_listed(unclean)}: a broker that lags may become the leader, and what it lacks is lost.",
                "Set unclean.leader.election.enable=false.",
            )
        )
    alone = [t.name for t in facts.topics if t.replicas >= 3 and t.config.get("min.insync.replicas") == "1"]
    if alone:
        found.append(
            Finding(
                "kafka",
                "advice",
                f"{_listed(alone)}: acknowledged when one replica has a message.",
                "Set min.insync.replicas=2, so that the loss of that one loses nothing.",
            )
        )
    for topic in facts.topics:
        kept = int(topic.config.get("retention.ms", "-1"))
        if topic.name.endswith("job-status") and 0 <= kept < DAY_MILLISECONDS:
            found.append(
                Finding(
                    "kafka",
                    "advice",
                    f"{topic.name} keeps reports for {span(kept / 1000)}: no engine may be away for longer.",
                    "Set its retention.ms to some days.",
                )
            )
    return found


def of_cache(facts: CacheFacts | Degraded) -> list[Finding]:
    """Redis is never needed: what is wrong with it makes look-ups slower, and nothing wrong."""
    if isinstance(facts, Degraded):
        says = (
            f"Redis cannot be used: {facts.why.rstrip('.')}. Runs go on; look-ups and live views are slower."
        )
        return [
            Finding("redis", "unreachable", says, "Check the server, HEADRACE_REDIS_URL and what is between.")
        ]
    found = [Finding("redis", "ok", f"{facts.server} takes writes.")]
    if facts.limit and facts.policy == "noeviction":
        full = facts.used > 0.9 * facts.limit
        says = f"It may use {_bytes(facts.limit)}, uses {_bytes(facts.used)}, and refuses writes when that is full."
        do = "Set maxmemory-policy to volatile-lru: everything that Headrace keeps there may go."
        found.append(Finding("redis", "problem" if full else "advice", says, do))
    return found


def of_file(facts: FileFacts, path: str, now: float) -> list[Finding]:
    """A SQLite file at `path`."""
    owner = "A process decides for it now." if facts.owned else "No process decides for it now."
    found = [
        Finding(
            "database",
            "ok",
            f"{path} ({_bytes(facts.size)}) has the current schema and {_counted(facts.live_runs, 'live run')}. {owner}",
        )
    ]
    if facts.damage:
        do = "Stop every process that uses it and restore a copy, or: sqlite3 FILE .recover"
        found.append(Finding("database", "problem", f"It is damaged: {'; '.join(facts.damage)}.", do))
    if facts.journal != "wal":
        do = "Run anything with headrace here: it sets the mode again. Then look for what has changed it."
        found.append(Finding("database", "problem", f"Its journal mode is {facts.journal}, not wal.", do))
    if facts.network is not None:
        do = "Put it on a local disk (HEADRACE_HOME, HEADRACE_DATABASE_URL), or use PostgreSQL."
        says = f"It lies on a network file system ({facts.network}), where locks cannot be relied on."
        found.append(Finding("database", "problem", says, do))
    if facts.free < LITTLE_BYTES:
        level: Level = "problem" if facts.free < SCARCE_BYTES else "advice"
        says = f"Its disk has {_bytes(facts.free)} left."
        found.append(
            Finding("database", level, says, "Free some. On a full disk runs stand still until then.")
        )
    if not facts.owned and facts.live_runs:
        says = f"Cut off, and nobody goes on: {_counted(facts.live_runs, 'run')}."
        found.append(Finding("runs", "advice", says, "Go on with them: headrace run --resume"))
    elif facts.owned:
        found += _inboxes(facts.waiting, now)
    found += _letters(facts.open_letters, 0)
    return found


def _settings(settings: Mapping[str, str]) -> list[Finding]:
    return [
        Finding("database", "problem", f"{name} is off: {cost}.", f"Set {name} = on in postgresql.conf.")
        for name, cost in _PROMISES.items()
        if settings.get(name) == "off"
    ]


def _connections(facts: DatabaseFacts) -> list[Finding]:
    engines = len(facts.survey.engines)
    wanted = engines * (facts.pool + 1)
    do = f"Raise max_connections ({facts.settings.get('max_connections', '?')}), or put a pooler before other users of the server."
    if facts.connections > CROWDED * facts.room:
        says = f"{facts.connections} of {facts.room} connections are open."
        return [Finding("database", "advice", says, do)]
    if wanted > facts.room:
        says = f"{_counted(engines, 'engine')} may open {wanted} connections, and there is room for {facts.room}."
        return [Finding("database", "advice", says, do)]
    return []


def _clock(skew: float, doubt: float) -> list[Finding]:
    sure = abs(skew) - doubt
    if sure < SKEW_SECONDS:
        return []
    which = "ahead of" if skew > 0 else "behind"
    return [
        Finding(
            "database",
            "problem" if sure >= WRONG_SECONDS else "advice",
            f"This machine's clock is {span(abs(skew))} {which} the database's.",
            "Have both set by NTP. Runs go by the database's; logins, logs and times of tasks by the machine's.",
        )
    ]


def _engines(facts: DatabaseFacts) -> list[Finding]:
    survey = facts.survey
    live = set(survey.engines)
    if not live:
        busy = facts.live_runs or facts.waiting
        says = "No engine lives: nothing is decided." if busy else "No engine lives."
        return [Finding("engines", "problem" if busy else "advice", says, "Start some: headrace engine")]
    found = [Finding("engines", "ok", f"{_counted(len(live), 'engine')}: {_listed(survey.engines)}.")]
    free = [str(part.part) for part in survey.parts if part.owner not in live]
    if free:
        which = "Part" if len(free) == 1 else "Parts"
        says = f"{which} {_listed(free)}: no live engine owns {'it' if len(free) == 1 else 'them'}."
        do = "Engines take free parts within a second: ask again, then look into their logs."
        found.append(Finding("engines", "problem", says, do))
    if len(live) == 1:
        says = "With one engine, runs stand still while it starts anew."
        found.append(Finding("engines", "advice", says, "Have two, on two machines."))
    return found + _inboxes(facts.waiting, survey.now)


def _inboxes(waiting: Iterable[Waiting], now: float) -> list[Finding]:
    late = [each for each in waiting if now - each.oldest > TAKEN_SECONDS]
    if not late:
        return []
    number, oldest = sum(each.commands for each in late), min(each.oldest for each in late)
    says = f"Not taken by anybody: {_counted(number, 'command')}, the oldest for {span(now - oldest)}."
    do = "Whoever decides is busy beyond measure, or stands still: look into its log."
    return [Finding("engines", "problem", says, do)]


def _workers(facts: DatabaseFacts) -> list[Finding]:
    heard = [worker for worker in facts.workers if facts.survey.now - worker.seen_at < HEARD_SECONDS]
    taking = [worker for worker in heard if not worker.draining]
    if not taking:
        says = "No worker takes tasks." if heard else "No worker is heard."
        do = "Start one: headrace worker --queues NAMES --app-dir DIR"
        return [Finding("workers", "problem" if facts.live_runs else "advice", says, do)]
    queues = sorted({queue for worker in taking for queue in worker.queues})
    slots = sum(worker.slots for worker in taking)
    says = f"{_counted(len(taking), 'worker')} with {_counted(slots, 'slot')} on {_listed(queues)}."
    return [Finding("workers", "ok", says)]


def _letters(letters: int, unreadable: int) -> list[Finding]:
    found = []
    if letters:
        says = f"Waiting for somebody to handle them: {_counted(letters, 'dead letter')}."
        found.append(Finding("runs", "advice", says, "Look at them: headrace dlq group"))
    if unreadable:
        says = f"Kept because nobody could read them: {_counted(unreadable, 'message')}."
        found.append(Finding("runs", "advice", says, "Look at them: headrace dlq list --poison"))
    return found


def _offsets(status: Mapping[int, tuple[int, int]], offsets: Mapping[int, int]) -> list[Finding]:
    """Where the database's idea of job-status and the log itself contradict each other."""
    cut, short = [], []
    for part, read in sorted(offsets.items()):
        begin, end = status.get(part, (0, read))
        if read < begin:
            cut.append(f"{part} (read up to {read}, begins at {begin})")
        elif read > end:
            short.append(f"{part} (read up to {read}, ends at {end})")
    found = []
    if cut:
        found.append(
            Finding(
                "kafka",
                "problem",
                f"job-status was cut off before it was read, in partition {_listed(cut)}. Reports are lost.",
                "Keep it longer (retention.ms). Engines go on behind the gap and ask after all that was in flight.",
            )
        )
    if short:
        found.append(
            Finding(
                "kafka",
                "problem",
                f"job-status ends before what the database has read, in partition {_listed(short)}: the topic was made "
                "anew, or this is another cluster's Kafka.",
                "If it is another's, set HEADRACE_KAFKA and HEADRACE_KAFKA_PREFIX right. Else engines go on at its end.",
            )
        )
    return found


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - MOST_NAMED
    return ", ".join(every[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _bytes(number: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number} {unit}"
        number //= 1024
    return f"{number} GiB"
