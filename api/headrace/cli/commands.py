"""Every command there is: its words, its one line of help, and where it lives.

The table imports nothing, so `headrace --help` costs no more than starting Python; a command's module is imported
when the command is called. The first line of a command's docstring repeats its help here, which a test checks.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """`words` are what the user types: "validate", or "runs list" for a command within a group."""

    words: str
    help: str
    target: str  # module:function below headrace.cli
    section: str
    alias: tuple[str, ...] = ()


GROUPS = {
    "runs": "Runs:",
    "tasks": "One task of a run:",
    "workflows": "Registered workflows:",
    "schedules": "What starts by time:",
    "backfills": "What is made up for:",
    "approvals": "What people decide:",
    "pools": "Slots that tasks share:",
    "dlq": "Dead letters:",
    "workers": "Who executes tasks:",
    "users": "Who may log in to the API:",
    "tokens": "How programs log in to the API:",
    "audit": "Who did what:",
    "lab": "Real servers, here:",
    "db": "The database:",
    "topics": "The topics on Kafka:",
    "config": "Settings and their sources:",
}

WRITE, RUN, LOOK, ACT, OPERATE = "Write", "Run", "Look", "Act", "Operate"

COMMANDS = (
    Command("init", "Make a folder with two workflows that run at once.", "init:init", WRITE),
    Command(
        "validate", "Check workflows; every problem with its place.", "validate:validate", WRITE, ("lint",)
    ),
    Command("graph", "Draw a workflow's graph, or measure it.", "graph:graph", WRITE),
    Command("export", "Write a workflow as YAML or as Python.", "export:export", WRITE),
    Command("schema", "The JSON Schema of workflow files, for editors.", "export:schema", WRITE),
    Command("run", "Run a workflow file here and follow it.", "run:run", RUN),
    Command("register", "Keep a version of a workflow, to trigger it by name.", "register:register", RUN),
    Command("trigger", "Start a registered workflow.", "trigger:trigger", RUN),
    Command("runs list", "The newest runs.", "runs:list_", LOOK),
    Command("runs show", "One run and the state of its tasks.", "runs:show", LOOK),
    Command("runs watch", "Follow a run until it ends.", "runs:watch", LOOK),
    Command("runs wait", "Wait for a run to end, in silence.", "runs:wait", LOOK),
    Command("runs cancel", "Cancel a run; its teardowns still run.", "steer:cancel", ACT),
    Command("runs kill", "End a run at once; nothing more runs.", "steer:kill", ACT),
    Command("runs pause", "Start nothing more until resumed.", "steer:pause", ACT),
    Command("runs resume", "Go on with a paused run.", "steer:resume", ACT),
    Command("runs rerun", "Run what failed again, or the tasks you name.", "steer:rerun", ACT),
    Command("logs", "What a run's tasks wrote.", "logs:logs", LOOK),
    Command("why", "Why a task waits, or what decided it.", "why:why", LOOK),
    Command("workflows list", "Registered workflows.", "workflows:list_", LOOK),
    Command("workflows show", "One workflow: versions, parameters, last runs.", "workflows:show", LOOK),
    Command("workflows diff", "What changed between two versions.", "workflows:diff", LOOK),
    Command("workflows pause", "Nothing starts it until it is resumed.", "workflows:pause", ACT),
    Command("workflows resume", "Let a paused workflow start again.", "workflows:resume", ACT),
    Command("schedules list", "What starts workflows by time, and when next.", "schedules:list_", LOOK),
    Command("schedules show", "How a schedule stands.", "schedules:show", LOOK),
    Command(
        "schedules preview",
        "When a schedule comes next; days on which the clock changes are marked.",
        "schedules:preview",
        LOOK,
    ),
    Command("schedules pause", "It starts nothing until it is resumed.", "schedules:pause", ACT),
    Command("schedules resume", "Go on with the next moment of a paused schedule.", "schedules:resume", ACT),
    Command("schedules trigger", "Start a schedule's run now, beside its own.", "schedules:trigger", ACT),
    Command(
        "backfills create",
        "Make up for moments of a schedule; without --yes, see which.",
        "backfills:create",
        ACT,
    ),
    Command("backfills list", "Backfills and how far they are, newest first.", "backfills:list_", LOOK),
    Command("backfills show", "How far a backfill is, and what it waits for.", "backfills:show", LOOK),
    Command("backfills watch", "Follow a backfill until nothing of it goes on.", "backfills:watch", LOOK),
    Command(
        "backfills change", "How many runs it may have at once, and their priority.", "backfills:change", ACT
    ),
    Command("backfills pause", "Begin no more of its runs until it is resumed.", "backfills:pause", ACT),
    Command("backfills resume", "Go on with the next moment of a paused backfill.", "backfills:resume", ACT),
    Command("backfills cancel", "Begin no more of its runs, for good.", "backfills:cancel", ACT),
    Command(
        "approvals list", "What tasks ask of people, the longest waiting first.", "approvals:list_", LOOK
    ),
    Command("approvals approve", "Agree to what a task asks.", "approvals:approve", ACT),
    Command("approvals reject", "Reject what a task asks; one rejection is enough.", "approvals:reject", ACT),
    Command("pools list", "Slots that tasks share, and who uses them.", "pools:list_", LOOK),
    Command("pools set", "Give a pool its slots, while tasks run too.", "pools:set_", ACT),
    Command("pools delete", "Delete a pool that nothing names any more.", "pools:delete", ACT),
    Command("signal", "Send a signal to every task that waits for it.", "approvals:signal", ACT),
    Command("workers list", "The workers that engines hear.", "workers:list_", LOOK),
    Command(
        "workers drain",
        "Have a worker take nothing more, finish what it holds, and leave.",
        "workers:drain",
        OPERATE,
    ),
    Command("dlq list", "The newest dead letters.", "dead_letters:list_", LOOK),
    Command("dlq group", "Dead letters of one kind together.", "dead_letters:group", LOOK),
    Command("dlq show", "One dead letter whole: error, inputs, attempts.", "dead_letters:show", LOOK),
    Command("dlq requeue", "Run what failed for good again.", "requeue:requeue", ACT),
    Command("dlq discard", "Say that nothing more is done about dead letters.", "dead_letters:discard", ACT),
    Command("tasks retry", "Try a task again now.", "steer:retry_task", ACT),
    Command("tasks skip", "Skip a task that has not ended.", "steer:skip_task", ACT),
    Command("tasks succeed", "Count a task as succeeded.", "steer:succeed_task", ACT),
    Command("tasks cancel", "Cancel one task.", "steer:cancel_task", ACT),
    Command("dev", "API, engine and worker in one process, for a folder.", "dev:dev", RUN),
    Command("api", "Serve the HTTP API of a database.", "api:api", OPERATE),
    Command("engine", "Decide for the runs of a cluster.", "engine:engine", OPERATE),
    Command("worker", "Execute tasks for the engines of a cluster.", "worker:worker", OPERATE),
    Command("replay", "Decide a run's history again and compare.", "replay:replay", OPERATE),
    Command("doctor", "Check all that runs stand on, and say what to do.", "doctor:doctor", OPERATE),
    Command("users add", "A user who logs in with a password.", "users:add", OPERATE),
    Command("users list", "Users and their roles.", "users:list_", OPERATE),
    Command(
        "users set-role",
        "What a user may do in a project; none takes the role away.",
        "users:set_role",
        OPERATE,
    ),
    Command(
        "users set-password", "A new password; every login of the user ends.", "users:set_password", OPERATE
    ),
    Command(
        "users disable",
        "A user who cannot log in any more, from within five seconds on.",
        "users:disable",
        OPERATE,
    ),
    Command("users enable", "A disabled user who may log in again.", "users:enable", OPERATE),
    Command("tokens create", "An API token for one project, shown once.", "tokens:create", OPERATE),
    Command("tokens list", "The project's tokens, without what makes them ones.", "tokens:list_", OPERATE),
    Command(
        "tokens revoke",
        "A token that nobody gets in with any more, from within five seconds on.",
        "tokens:revoke",
        OPERATE,
    ),
    Command("audit list", "Who did what to what, when and from where.", "audit:list_", OPERATE),
    Command(
        "audit verify", "Whether anything in the audit was changed or taken away.", "audit:verify", OPERATE
    ),
    Command("config show", "Every setting, its value and its source.", "config:show", OPERATE),
    Command(
        "lab up", "Start Kafka, PostgreSQL and Valkey here, and wait until they answer.", "lab:up", OPERATE
    ),
    Command("lab down", "Stop the servers of the lab.", "lab:down", OPERATE),
    Command(
        "lab status", "Which servers of the lab run, where, and whether they answer.", "lab:status", OPERATE
    ),
    Command("db upgrade", "Bring the schema up to date.", "database:upgrade", OPERATE),
    Command("db check", "Whether the schema is up to date.", "database:check", OPERATE),
    Command("db restored", "Prepare a database that was restored from a copy.", "database:restored", OPERATE),
    Command(
        "topics ensure",
        "Make the topics that are missing; say what is wrong with others.",
        "topics:ensure",
        OPERATE,
    ),
    Command(
        "topics describe",
        "All topics and their messages, for programs that take part.",
        "topics:describe",
        OPERATE,
    ),
    Command("simulate", "Try the engine against faults, on virtual time.", "simulate:simulate", OPERATE),
    Command("bench", "How fast the engine is on this machine.", "bench:bench", OPERATE),
    Command("completion", "Complete commands in your shell.", "completion:completion", OPERATE),
    Command("version", "The version of Headrace and of Python.", "version:version", OPERATE),
)


def overview(bold: bool = False) -> str:
    """The text of `headrace --help`, written from the table."""

    def heading(text: str) -> str:
        return f"\033[1m{text}\033[0m" if bold else text

    lines = [
        "Headrace runs jobs that are graphs of tasks, written in YAML or Python.",
        "",
        f"{heading('Usage:')} headrace COMMAND [OPTIONS]",
    ]
    for section in (WRITE, RUN, LOOK, ACT, OPERATE):
        lines += ["", heading(f"{section}:")]
        groups: dict[str, list[str]] = {}
        for command in COMMANDS:
            first, _, second = command.words.partition(" ")
            if command.section != section:
                continue
            if second:
                groups.setdefault(first, []).append(second)
            else:
                lines.append(f"  {first:<11} {command.help}")
        lines += [f"  {first:<11} {GROUPS[first]} {', '.join(seconds)}" for first, seconds in groups.items()]
    lines += [
        "",
        "headrace COMMAND --help tells more. RUN is a run's id, a unique beginning of it, or `last`;",
        "one item of a mapped task is written price[7]. Most commands take --json.",
    ]
    return "\n".join(lines)
