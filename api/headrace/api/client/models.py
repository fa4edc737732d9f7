"""What the API answers with, as the client gives it: the very shapes that the server makes its answers from."""

from __future__ import annotations

from typing import TypeAlias

from headrace.api.live.words import End, Gap, Line, Moved
from headrace.api.shapes.backfills import BackfillEntry, BackfillMomentEntry, BackfillPlan
from headrace.api.shapes.operations import (
    DiscardAnswer,
    GroupEntry,
    LetterDetail,
    LetterEntry,
    PoisonEntry,
    QueueEntry,
    RequeueAnswer,
    Stats,
    WorkerEntry,
)
from headrace.api.shapes.people import (
    AuditEntry,
    AuditVerdict,
    LoginAnswer,
    Me,
    TokenAnswer,
    TokenEntry,
    UserEntry,
)
from headrace.api.shapes.pools import PoolEntry
from headrace.api.shapes.runs import BulkApplied, BulkPlan, RunDetail, RunEntry, RunStatus
from headrace.api.shapes.schedules import Moment, Preview, ScheduleEntry
from headrace.api.shapes.tasks import (
    AttemptEntry,
    LogLine,
    LogPage,
    RunGraph,
    TaskCommanded,
    TaskInputs,
    TaskState,
    TaskWhy,
    TimelineEntry,
)
from headrace.api.shapes.waits import ApprovalAnswer, ApprovalEntry, SignalAnswer
from headrace.api.shapes.workflows import (
    PlanDetail,
    Registered,
    Verdict,
    VersionDetail,
    VersionDiff,
    VersionEntry,
    WorkflowEntry,
)

RunEvent: TypeAlias = Moved | Gap | End
"""What `runs.events` tells: a move, something that was left out, the end of the run."""
LogEvent: TypeAlias = Line | Gap
"""What `runs.logs` tells."""

__all__ = [
    "ApprovalAnswer",
    "ApprovalEntry",
    "AttemptEntry",
    "AuditEntry",
    "AuditVerdict",
    "BackfillEntry",
    "BackfillMomentEntry",
    "BackfillPlan",
    "BulkApplied",
    "BulkPlan",
    "DiscardAnswer",
    "End",
    "Gap",
    "GroupEntry",
    "LetterDetail",
    "LetterEntry",
    "Line",
    "LogEvent",
    "LogLine",
    "LogPage",
    "LoginAnswer",
    "Me",
    "Moment",
    "Moved",
    "PlanDetail",
    "PoisonEntry",
    "PoolEntry",
    "Preview",
    "QueueEntry",
    "Registered",
    "RequeueAnswer",
    "RunDetail",
    "RunEntry",
    "RunEvent",
    "RunGraph",
    "RunStatus",
    "ScheduleEntry",
    "SignalAnswer",
    "Stats",
    "TaskCommanded",
    "TaskInputs",
    "TaskState",
    "TaskWhy",
    "TimelineEntry",
    "TokenAnswer",
    "TokenEntry",
    "UserEntry",
    "Verdict",
    "VersionDetail",
    "VersionDiff",
    "VersionEntry",
    "WorkerEntry",
    "WorkflowEntry",
]
