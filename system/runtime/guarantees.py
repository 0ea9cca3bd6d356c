"""The order of a worker's steps, a guarantee a value, and the pure machine that walks them.

The machine knows nothing of clients or tables: it is told how a step ended and answers with the next step. The same
machine drives real clients in production (`worker`) and a fake log with fake tables in the simulation, where every
crash is tried. Source of the orders: the table of guarantees in spec/README.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class Step(StrEnum):
    """What a worker does next."""

    POLL = "poll"
    STATE = "state"
    """{effects + inbox row + stored reply + outbox rows} in one database transaction, as the guarantee has them."""
    PICK = "pick"
    """The relay takes the oldest outbox rows of its partitions; an idle worker picks what was left behind."""
    BEGIN = "begin"
    """A Kafka transaction begins (KIP-98)."""
    PRODUCE = "produce"
    OFFSETS = "offsets"
    """The offsets join the Kafka transaction (KIP-447)."""
    COMMIT = "commit"
    """The offsets are committed: by themselves or, after BEGIN, with the Kafka transaction."""
    CLEAR = "clear"
    """The relay deletes the outbox rows that the broker has acknowledged."""
    ABORT = "abort"
    """The batch is given up, with the Kafka transaction where there is one; its records are polled again."""
    STOP = "stop"
    EXIT = "exit"


class Ended(StrEnum):
    """How a step ended."""

    DONE = "done"
    EMPTY = "empty"
    """Poll found nothing, or the relay has nothing to publish."""
    SKIPPED = "skipped"
    """Its time has not come: a paced step that a later cycle takes for this one too."""
    ROLLED_BACK = "rolled-back"
    """The database undid the batch for certain (deadlock, serialization failure, another member was faster)."""
    UNKNOWN = "unknown"
    """The connection broke during a commit: the database may have the batch or not."""
    ABORTABLE = "abortable"
    """The Kafka transaction cannot be committed, but its producer lives: it must be aborted. Or the offsets, which come
    first, were refused, and nothing was done yet."""
    FAILED = "failed"
    """A record was not acknowledged, the offsets were refused, or the producer was fenced."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`steps` of one batch, in order; `inbox`: repeated messages are recognised by their key.

    `paced`: steps that may end SKIPPED, as a later one does their work too.
    """

    name: str
    steps: tuple[Step, ...]
    inbox: bool
    paced: frozenset[Step] = frozenset()

    @property
    def outbox(self) -> bool:
        """Replies are stored beside the state and published by the relay."""
        return Step.PICK in self.steps

    @property
    def transactions(self) -> bool:
        """Replies and offsets are one Kafka transaction."""
        return Step.BEGIN in self.steps

    @property
    def loses(self) -> bool:
        """What was begun and not finished is not taken up again: its offsets are committed before its state."""
        return self.steps.index(Step.COMMIT) < self.steps.index(Step.STATE)


def _made() -> tuple[Guarantee, ...]:
    poll, state, produce, commit = Step.POLL, Step.STATE, Step.PRODUCE, Step.COMMIT
    later = frozenset({commit})
    return (
        Guarantee("at-most-once", (poll, commit, state, produce), inbox=False),
        Guarantee("at-least-once", (poll, state, produce, commit), inbox=False, paced=later),
        Guarantee("idempotent", (poll, state, produce, commit), inbox=True, paced=later),
        Guarantee(
            "outbox",
            (poll, state, commit, Step.PICK, produce, Step.CLEAR),
            inbox=True,
            paced=frozenset({commit, Step.CLEAR}),
        ),
        Guarantee("transactional", (poll, state, Step.BEGIN, produce, Step.OFFSETS, commit), inbox=True),
    )


GUARANTEES: Mapping[str, Guarantee] = MappingProxyType({guarantee.name: guarantee for guarantee in _made()})

REDO_LIMIT = 20
"""Rolled-back or aborted attempts of one batch before the worker gives up and is restarted."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a worker stands: the index of its next step, how often this batch was rolled back and its transaction
    aborted, whether it has to abort now.
    """

    index: int = 0
    redone: int = 0
    aborted: int = 0
    aborting: bool = False


def next_step(guarantee: Guarantee, position: Position, *, stopping: bool = False) -> Step:
    """The step to take now. A worker that is to stop does so between two batches only: what it polled it finishes."""
    if position.index < 0:
        return Step.EXIT
    if position.aborting:
        return Step.ABORT
    step = guarantee.steps[position.index]
    return Step.STOP if step is Step.POLL and stopping else step


def advance(guarantee: Guarantee, position: Position, ended: Ended) -> Position:
    """The position after a step that ended so. Raises ValueError for an end that the step cannot have.

    A lost acknowledgement, a fenced producer or a commit of unknown fate without an inbox lead to EXIT: the batch stays
    uncommitted and whoever owns the partition next gets it again. With an inbox an unknown commit is simply done again.
    After an abort the same records are polled again, less what has left with its partitions meanwhile.
    """
    step = next_step(guarantee, position)
    if ended is Ended.SKIPPED and step not in guarantee.paced:
        raise ValueError(f"{guarantee.name} does not skip {step}")
    if step is Step.ABORT and ended is Ended.DONE:
        return Position(aborted=position.aborted)
    if ended in (Ended.DONE, Ended.SKIPPED):
        return _following(guarantee, position)
    if ended is Ended.EMPTY and step is Step.POLL:
        # An idle worker still relays what an earlier life has left in the outbox.
        index = guarantee.steps.index(Step.PICK) if guarantee.outbox else 0
        return Position(index)
    if ended is Ended.EMPTY and step is Step.PICK:
        return Position()
    again = ended is Ended.ROLLED_BACK or (ended is Ended.UNKNOWN and guarantee.inbox)
    if step is Step.STATE and again and position.redone < REDO_LIMIT:
        return replace(position, redone=position.redone + 1)
    if ended is Ended.ABORTABLE and position.aborted < REDO_LIMIT:
        return replace(position, aborting=True, aborted=position.aborted + 1)
    if step is Step.COMMIT and ended is Ended.FAILED and not guarantee.loses and not guarantee.transactions:
        # Another member owns the partition: it will get the batch again. This one goes on with what it still owns.
        return _following(guarantee, position)
    return replace(position, index=-1)


def _following(guarantee: Guarantee, position: Position) -> Position:
    index = (position.index + 1) % len(guarantee.steps)
    return Position(index, aborted=position.aborted if index else 0)


RESTART_POINTS = ("after-start", "after-connect", "after-assign")
"""Failpoints of a worker that comes up, first or again: the process runs; its producer has fenced its earlier life and
its database answers; partitions are assigned and rebuilt.
"""
ONCE_A_LIFE = frozenset({"after-start", "after-connect"})
"""Points that no process passes twice."""


def failpoints(guarantee: Guarantee) -> tuple[str, ...]:
    """The names between two steps: `after-<step>` behind each, and `before-commit`; then those of the restart."""
    return (*(f"after-{step}" for step in guarantee.steps), f"before-{Step.COMMIT}", *RESTART_POINTS)
