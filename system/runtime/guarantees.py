"""The order of a worker's steps, a guarantee a line, and the pure machine that walks them.

The machine knows nothing of clients or tables: it is told how a step ended and answers with the next step. The same
machine drives real clients in production (`worker`) and a fake log with fake tables in the simulation, where every
crash is tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class Step(StrEnum):
    """What a worker does next. STATE is {effects + inbox row + stored reply} in one database transaction."""

    POLL = "poll"
    STATE = "state"
    PRODUCE = "produce"
    COMMIT = "commit"
    STOP = "stop"
    EXIT = "exit"


class Ended(StrEnum):
    """How a step ended."""

    DONE = "done"
    EMPTY = "empty"
    """Poll found nothing."""
    ROLLED_BACK = "rolled-back"
    """The database undid the batch for certain (deadlock, serialization failure, another member was faster)."""
    UNKNOWN = "unknown"
    """The connection broke during a commit: the database may have the batch or not."""
    POSTPONED = "postponed"
    """The offsets are committed together with those of a later batch."""
    FAILED = "failed"
    """A record was not acknowledged, or the offsets were refused."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`steps` of one batch, in order; `inbox`: repeated messages are recognised by their key.

    `commit_period_s`: offsets are committed at most so often, where what is read again is harmless. A commit costs the
    broker as much as a batch of records; 0 = with every batch.
    """

    name: str
    steps: tuple[Step, ...]
    inbox: bool
    commit_period_s: float = 0.0


GUARANTEES: Mapping[str, Guarantee] = MappingProxyType(
    {
        guarantee.name: guarantee
        for guarantee in (
            Guarantee("at-most-once", (Step.POLL, Step.COMMIT, Step.STATE, Step.PRODUCE), inbox=False),
            Guarantee("at-least-once", (Step.POLL, Step.STATE, Step.PRODUCE, Step.COMMIT), inbox=False),
            Guarantee(
                "idempotent", (Step.POLL, Step.STATE, Step.PRODUCE, Step.COMMIT), inbox=True, commit_period_s=0.1
            ),
        )
    }
)

REDO_LIMIT = 20
"""Rolled-back attempts of one batch before the worker gives up and is restarted."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a worker stands: the index of its next step, how often this batch was rolled back, whether it is to
    stop.
    """

    index: int = 0
    redone: int = 0
    stopping: bool = False


def next_step(guarantee: Guarantee, position: Position) -> Step:
    """The step to take now. A worker stops between two batches only: what it polled it finishes."""
    if position.index < 0:
        return Step.EXIT
    step = guarantee.steps[position.index]
    return Step.STOP if step is Step.POLL and position.stopping else step


def advance(guarantee: Guarantee, position: Position, ended: Ended) -> Position:
    """The position after a step that ended so.

    A lost acknowledgement, refused offsets or a commit of unknown fate without an inbox lead to EXIT: the batch stays
    uncommitted and whoever owns the partition next gets it again. With an inbox an unknown commit is simply done again.
    """
    step = guarantee.steps[position.index]
    if ended in (Ended.DONE, Ended.POSTPONED):
        following = (position.index + 1) % len(guarantee.steps)
        return Position(following, stopping=position.stopping)
    if ended is Ended.EMPTY and step is Step.POLL:
        return Position(stopping=position.stopping)
    again = ended is Ended.ROLLED_BACK or (ended is Ended.UNKNOWN and guarantee.inbox)
    if step is Step.STATE and again and position.redone < REDO_LIMIT:
        return replace(position, redone=position.redone + 1)
    if step is Step.COMMIT and ended is Ended.FAILED and guarantee.steps[-1] is Step.COMMIT:
        # Another member owns the partition: it will get the batch again. This one goes on with what it still owns.
        return Position(stopping=position.stopping)
    return replace(position, index=-1)


def failpoints(guarantee: Guarantee) -> tuple[str, ...]:
    """The names between two steps: `after-<step>` behind each, and `before-commit`."""
    return (*(f"after-{step}" for step in guarantee.steps), f"before-{Step.COMMIT}")
