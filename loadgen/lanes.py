"""A lane: operations of one sort on their way to the sessions that begin them, in schedule order.

The queue between the schedule and the sessions is a pair of numbers into the lane's own operations. Sorts that cost
differently have lanes of their own, so that a handful of small transactions never holds up a batch of sagas.
"""

import threading
import time

import numpy as np
from numpy.typing import NDArray

from loadgen.target import Lane


class LaneQueue:
    """What was handed over (`handed`) and what a session has taken (`begun`), as numbers of the lane's operations."""

    def __init__(self, lane: Lane, *, first: int) -> None:
        self.lane = lane
        self.handed = self.begun = int(np.searchsorted(lane.operations, first))
        self._filled = threading.Condition()
        self._turn = threading.Lock()
        self._next_begin_s = 0.0

    def hand_over(self, until: int) -> None:
        """Makes the lane's operations with numbers below `until` available. Never waits for a session."""
        handed = int(np.searchsorted(self.lane.operations, until))
        if handed > self.handed:
            with self._filled:
                self.handed = handed
                self._filled.notify()

    def claim(self, closing: threading.Event) -> NDArray[np.int64]:
        """Waits for the next batch; empty when the drive is closing.

        One session gathers at a time, and begins are at least `gather_s` apart unless a full batch is there: many tiny
        transactions would cost more than the wait.
        """
        with self._turn:
            with self._filled:
                while self.handed == self.begun and not closing.is_set():
                    self._filled.wait()
            gather_s = self._next_begin_s - time.monotonic()
            if gather_s > 0 and self.handed - self.begun < self.lane.batch_max:
                closing.wait(gather_s)
            if closing.is_set():
                return np.empty(0, np.int64)
            self._next_begin_s = time.monotonic() + self.lane.gather_s
            first = self.begun
            self.begun = min(self.handed, first + self.lane.batch_max)
            return self.lane.operations[first : self.begun]

    def wake(self) -> None:
        """Lets the sessions see that the drive is closing."""
        with self._filled:
            self._filled.notify_all()

    def left(self) -> NDArray[np.int64]:
        """What was handed over and no session has taken."""
        return self.lane.operations[self.begun : self.handed]
