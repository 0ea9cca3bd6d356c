"""What the driver drives: sessions that begin operations, and a stream of outcomes. Injected, and all it knows.

An operation is a number, the row of the workload and of the history. `begin` of a batch of numbers answers for every
one of them: *finished* (its outcome is known at once) or *waiting* for the outcome of a saga, named by (entity, tr).
Several operations may wait for the same saga, and a saga's outcome may be read before `begin` has returned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

OK: Final = 1
FAIL: Final = 2
INFO: Final = 3
OUTCOMES: Final = ("", "ok", "fail", "info")
"""Code → outcome: ok = definitely happened, fail = definitely did not, info = unknown; 0 = not known yet."""


class NotApplied(Exception):
    """The batch failed and has certainly left no effect (outcome `fail`); the message is the error's name."""


class FateUnknown(Exception):
    """The batch failed and may have had its effects (outcome `info`); the message is the error's name."""


class Waiting(NamedTuple):
    """Columns of equal length: operations that wait for a saga's outcome."""

    operation: NDArray[np.int64]
    entity: NDArray[np.int64]
    tr: NDArray[np.int32]


class Finished(NamedTuple):
    """Columns of equal length: operations with an outcome. `tr` 0 and `balance` -1 where the kind has none."""

    operation: NDArray[np.int64]
    outcome: NDArray[np.uint8]
    tr: NDArray[np.int32]
    balance: NDArray[np.int64]


class Failed(NamedTuple):
    """Part of a batch that failed on its own: the outcome is FAIL where it certainly had no effect, else INFO."""

    operation: NDArray[np.int64]
    outcome: int
    error: str


class Begun(NamedTuple):
    """The answer to a batch. `acknowledged_ns`: CLOCK_MONOTONIC when the broker had acknowledged what was produced.

    A session whose answer has failures is closed and replaced.
    """

    waiting: Waiting
    finished: Finished
    acknowledged_ns: int
    failed: tuple[Failed, ...] = ()


class Outcomes(NamedTuple):
    """Columns of equal length: outcomes of sagas as the outcome reader met them, repeats included."""

    entity: NDArray[np.int64]
    tr: NDArray[np.int32]
    success: NDArray[np.bool_]


class Session(Protocol):
    """One connection to the system, used by one thread at a time."""

    def begin(self, operations: NDArray[np.int64]) -> Begun:
        """Hands over a batch and waits until it was accepted.

        Operating errors are raised as `NotApplied` or `FateUnknown`; anything else is a programmer's error and stops
        the run.
        """

    def close(self) -> None:
        """Gives the connection up; never raises."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Operations of one sort (their numbers, rising) and the sessions that begin them, each in a thread of its own.

    `open_session` may raise `NotApplied` or `FateUnknown`: the driver backs off and tries again.
    Begins of a lane are `gather_s` apart.
    """

    name: str
    operations: NDArray[np.int64]
    open_session: Callable[[], Session]
    sessions: int = 3
    batch_max: int = 2_000
    gather_s: float = 0.008


@dataclass(frozen=True, kw_only=True)
class Target:
    """A system to drive: each operation is in one lane, and `outcomes(timeout_s)` waits for the next outcomes of sagas.

    `entities` bounds the numbers that sagas are named by: 0 <= entity < entities; outcomes of others are ignored.
    `outcomes` may raise as `open_session` may. `left_behind` says at the end what was begun and could not be handed
    over, empty for nothing: the system cannot come to rest without it.
    """

    lanes: tuple[Lane, ...]
    entities: int
    outcomes: Callable[[float], Outcomes]
    left_behind: Callable[[], str] = lambda: ""


def no_outcomes() -> Outcomes:
    """Empty columns: nothing came within the timeout."""
    return Outcomes(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.bool_))


def no_waiting() -> Waiting:
    """Empty columns: every operation of the batch is finished."""
    return Waiting(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))


def no_finished() -> Finished:
    """Empty columns: every operation of the batch waits."""
    return Finished(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int32), np.empty(0, np.int64))
