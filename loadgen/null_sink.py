"""The driver's own ceiling: how fast it drives a target that costs nothing. Published beside every throughput.

The sink lets every operation wait and answers it from the outcome reader, so the whole bookkeeping of a saga is paid
for.
"""

import queue
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadgen.driver import Plan, drive
from loadgen.history import create_history
from loadgen.target import Begun, Lane, Outcomes, Target, Waiting, no_finished, no_outcomes


class NullSession:
    """Begins a saga for each operation and hands its success to the outcome reader at once."""

    def __init__(self, answers: "queue.SimpleQueue[Outcomes]") -> None:
        self._answers = answers

    def begin(self, operations: NDArray[np.int64]) -> Begun:
        tr = np.ones(len(operations), np.int32)
        self._answers.put(Outcomes(operations, tr, np.ones(len(operations), np.bool_)))
        return Begun(Waiting(operations, operations, tr), no_finished(), time.monotonic_ns())

    def close(self) -> None:
        """Holds nothing."""


def null_target(operations: int) -> Target:
    """A target of `operations` sagas, each of which succeeds at once."""
    answers: queue.SimpleQueue[Outcomes] = queue.SimpleQueue()

    def outcomes(timeout_s: float) -> Outcomes:
        try:
            return answers.get(timeout=timeout_s)
        except queue.Empty:
            return no_outcomes()

    numbers = np.arange(operations, dtype=np.int64)
    lane = Lane(name="null", operations=numbers, open_session=lambda: NullSession(answers), gather_s=0.0)
    return Target(lanes=(lane,), entities=operations, outcomes=outcomes)


def ceiling(operations: int = 1_000_000) -> float:
    """Operations a second that the driver completes, in a closed loop, against the null sink."""
    with tempfile.TemporaryDirectory(prefix="choreobench-") as folder:
        history = create_history(Path(folder) / "history", operations=operations)
        plan = Plan(intended_ns=None)
        begun_s = time.perf_counter()
        drive(plan, null_target(operations), history, stop=threading.Event())
        return operations / (time.perf_counter() - begun_s)
