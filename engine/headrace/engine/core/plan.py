"""The Plan: a workflow version, validated, flattened to integer indexes, frozen and content-hashed.

The deciding machine reads nothing but this. Slots and regions:

* A *node* is a task or a group; its index is its place in `ids`. Region 0 holds all nodes that are outside mapped
  groups; every mapped task or group owns one further region, its *items*.
* `regions[r].nodes` lists the nodes of one item. In region 0 that is every node whose home it is, numbered
  0..k-1 in order, so that local and global index agree. In a map's region, local 0 is the mapped node itself
  (as one item of itself) and local i >= 1 is node `base + i - 1`.
* A mapped node therefore has two roles: the *head*, its slot in its home region, which expands and ends; and the
  *item*, local 0 of its own region.
* A plain group is one slot in its home region: it is entered when its rule and `when` hold, and ends when all its
  members are final. The members of plain groups live in the same region as the group.

Edges (`up`, `down`) are the counted direct upstreams after groups are expanded: an edge from a plain group comes
from each of its leaves; an edge to a plain group goes to the group's node; an edge from a mapped task or group
comes from its head (whose items or leaves over all items are then counted). An edge never goes into another map's
region from outside except inwards (outer node → inner node), and each edge stands once.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from headrace.engine.core.workflow import Json, Kind, Task, Workflow


class Rule(IntEnum):
    """The trigger rules of docs/trigger_rules.md. EXPRESSION: see `Plan.rule_expressions`."""

    ALL_SUCCESS = 0
    ALL_FAILED = 1
    ALL_DONE = 2
    ALL_DONE_MIN_ONE_SUCCESS = 3
    ALL_DONE_SETUP_SUCCESS = 4
    ONE_SUCCESS = 5
    ONE_FAILED = 6
    ONE_DONE = 7
    NONE_FAILED = 8
    NONE_FAILED_MIN_ONE_SUCCESS = 9
    NONE_SKIPPED = 10
    ALL_SKIPPED = 11
    ALWAYS = 12
    EXPRESSION = 13


RULE_NAMES = tuple(rule.name.lower() for rule in Rule if rule is not Rule.EXPRESSION)


class Section(IntEnum):
    """Which part of the run a node belongs to; they run in this order."""

    MAIN = 0
    ON_FAILURE = 1
    FINALLY = 2


@dataclass(frozen=True, slots=True)
class Region:
    """The nodes of one item of a map (or, region 0, of the run). See the module's text for the numbering."""

    index: int
    parent: int  # the region of the head; -1 for region 0
    owner: int  # the mapped node; -1 for region 0
    level: int  # number of enclosing maps: 0 for region 0, 1 for a map at the top, ...
    base: int  # global index of local 1 (region 0: of local 0)
    nodes: tuple[int, ...] | range  # global indexes by local index
    leaves: tuple[int, ...]  # locals whose states are the item's outcome; for a mapped task (0,)


@dataclass(frozen=True, slots=True)
class Facts:
    """What `graph --format json` prints; groups are expanded to their roots and leaves, so only tasks count."""

    tasks: int
    edges: int
    depth: int
    width: int
    roots: tuple[str, ...]
    leaves: tuple[str, ...]
    critical_path: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that deciding needs, by node index. Built only by `planning.build_plan`."""

    hash: str  # "sha256:…" of the canonical document
    workflow: Workflow
    ids: tuple[str, ...]  # full ids
    index: Mapping[str, int]  # full id → index
    tasks: tuple[Task, ...]
    kinds: tuple[Kind, ...]
    rules: bytes  # Rule
    sections: bytes  # Section
    home: array[int]  # region that holds the node's slot (a mapped node: its head)
    items: Mapping[int, int]  # mapped node → its region
    group: array[int]  # innermost enclosing group node (plain or mapped), or -1
    members: Mapping[int, tuple[int, ...]]  # group node → direct members (nodes whose `group` it is)
    group_leaves: Mapping[int, tuple[int, ...]]  # plain group → leaf nodes (of nested plain groups too)
    up_start: array[int]  # CSR: upstreams of n are up[up_start[n]:up_start[n+1]], ascending
    up: array[int]
    down_start: array[int]
    down: array[int]
    regions: tuple[Region, ...]
    setups: Mapping[int, frozenset[int]]  # teardown → those of its upstreams that are its setups
    teardowns: frozenset[int]
    rule_expressions: Mapping[int, RuleExpression]
    names: Mapping[int, Mapping[str, int]]  # node → id as written in its expressions/switch/rule → node index
    section_names: Mapping[str, int]  # the same for the workflow's `output`
    when_per_item: frozenset[int]  # mapped nodes whose `when` names the item
    run_leaves: tuple[int, ...]  # MAIN nodes that decide the run's outcome (trigger_rules.md, end)
    facts: Facts
    level: array[int]  # longest path to the node in tasks, from 0
    left_out: frozenset[int] = (
        frozenset()
    )  # not selected (see `selection`): nothing leads there or from there
    memo: dict[object, object] = field(
        default_factory=dict, compare=False, repr=False
    )  # compiled templates etc.

    def upstream(self, node: int) -> array[int]:
        return self.up[self.up_start[node] : self.up_start[node + 1]]

    def downstream(self, node: int) -> array[int]:
        return self.down[self.down_start[node] : self.down_start[node + 1]]


# -- the expression form of trigger rules: three-valued, over direct upstreams -----------------------------------


@dataclass(frozen=True, slots=True)
class Holds:
    """`success(x)`, `failed(x)`, `skipped(x)`, `done(x)`."""

    what: str
    source: int


@dataclass(frozen=True, slots=True)
class Measure:
    """`rate(x)` or `count(x, "state")`."""

    what: str  # rate | count
    source: int
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Compare:
    left: Measure
    operator: str  # == != < <= > >=
    right: float


@dataclass(frozen=True, slots=True)
class Not:
    of: RuleExpression


@dataclass(frozen=True, slots=True)
class Both:
    of: tuple[RuleExpression, ...]


@dataclass(frozen=True, slots=True)
class Either:
    of: tuple[RuleExpression, ...]


RuleExpression = Holds | Compare | Not | Both | Either

__all__ = [
    "RULE_NAMES",
    "Both",
    "Compare",
    "Either",
    "Facts",
    "Holds",
    "Json",
    "Measure",
    "Not",
    "Plan",
    "Region",
    "Rule",
    "RuleExpression",
    "Section",
]
