"""Which operations wait for which saga, and the moment each one ends: the only writer of outcomes into the history.

Integer arrays instead of a dictionary of futures: per saga entity the head of a linked list of waiting operations, and
the newest outcome seen. An outcome can be read before `begin` has returned (the saga was faster than the answer to its
request), and an operation can join a saga whose outcome was already read: so every outcome is remembered, and an
operation that registers late is completed on the spot. Safe for any thread; a batch is one short hold of the lock.
"""

import threading
import time
from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadgen.history import History, Progress
from loadgen.target import FAIL, OK, Finished, Outcomes, Waiting

_NONE: Final = -1
_FIELD: Final = {name: number for number, name in enumerate(Progress._fields)}


class Ledger:
    """Completes operations of one history; `finished` counts those that ended here, `failures` the errors by name."""

    def __init__(self, history: History, *, entities: int) -> None:
        self.history = history
        self.finished = 0
        self.failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._head = np.full(entities, _NONE, np.int64)
        self._next = np.full(len(history), _NONE, np.int64)
        self._seen_tr = np.zeros(entities, np.int32)
        self._seen_success = np.zeros(entities, np.bool_)
        self._seen_ns = np.zeros(entities, np.int64)
        self._earlier: dict[tuple[int, int], tuple[bool, int]] = {}

    def mark(self, name: str, value: int) -> None:
        """Stores one of the counters of `Progress`."""
        self.history.progress[_FIELD[name]] = value

    def wait_for(self, waiting: Waiting, *, acknowledged_ns: int) -> None:
        """Operations that wait for the outcome of (entity, tr); those whose outcome was read already end now."""
        operation, entity, tr = waiting
        if not len(operation):
            return
        with self._lock:
            self.history.acknowledged_ns[operation] = acknowledged_ns
            self.history.tr[operation] = tr
            seen_tr = self._seen_tr[entity]
            known = seen_tr == tr
            if known.any():
                ended_ns = np.maximum(self._seen_ns[entity[known]], acknowledged_ns)
                self._end(operation[known], self._seen_success[entity[known]], ended_ns)
            earlier = ~known & (seen_tr != 0)
            for row in np.flatnonzero(earlier).tolist():
                saga = (int(entity[row]), int(tr[row]))
                known[row] = self._end_if_earlier(int(operation[row]), saga, acknowledged_ns)
            self._enlist(operation[~known], entity[~known])

    def resolve(self, outcomes: Outcomes, *, now_ns: int) -> None:
        """Outcomes of sagas, read at `now_ns`; the first one of a saga counts, repeats are only counted."""
        legal = (outcomes.entity >= 0) & (outcomes.entity < len(self._head)) & (outcomes.tr > 0)
        entity, tr, success = outcomes.entity[legal], outcomes.tr[legal], outcomes.success[legal]
        with self._lock:
            while len(entity):
                _, first = np.unique(entity, return_index=True)
                self._resolve_distinct(entity[first], tr[first], success[first], now_ns)
                again = np.ones(len(entity), np.bool_)
                again[first] = False
                entity, tr, success = entity[again], tr[again], success[again]

    def finish(self, finished: Finished, *, acknowledged_ns: int) -> None:
        """Operations whose outcome came with the answer to `begin`."""
        if not len(finished.operation):
            return
        with self._lock:
            operation = finished.operation
            self.history.acknowledged_ns[operation] = acknowledged_ns
            self.history.tr[operation] = finished.tr
            self.history.balance[operation] = finished.balance
            self.history.completed_ns[operation] = acknowledged_ns
            self.history.outcome[operation] = finished.outcome
            self._count(finished.outcome)

    def give_up(self, operation: NDArray[np.int64], *, outcome: int, error: str) -> None:
        """Operations of a batch that failed: `outcome` is FAIL where they certainly had no effect, else INFO."""
        if not len(operation):
            return
        code = self.history.error_code(error)
        with self._lock:
            self.history.error[operation] = code
            self.history.completed_ns[operation] = time.monotonic_ns() if outcome == FAIL else 0
            self.history.outcome[operation] = outcome
            self._count(np.full(len(operation), outcome, np.uint8))

    def failed(self, error: str) -> None:
        """Counts an operating error by its name."""
        with self._lock:
            self.failures[error] += 1
            self.mark("errors", self.failures.total())

    def _resolve_distinct(
        self, entity: NDArray[np.int64], tr: NDArray[np.int32], success: NDArray[np.bool_], now_ns: int
    ) -> None:
        seen_tr = self._seen_tr[entity]
        new = seen_tr != tr
        if not new.all():
            self.history.progress[_FIELD["repeated_outcomes"]] += int(len(new) - new.sum())
            entity, tr, success, seen_tr = entity[new], tr[new], success[new], seen_tr[new]
        for row in np.flatnonzero(seen_tr).tolist():
            number = int(entity[row])
            verdict = (bool(self._seen_success[number]), int(self._seen_ns[number]))
            self._earlier.setdefault((number, int(seen_tr[row])), verdict)
        self._seen_tr[entity], self._seen_success[entity], self._seen_ns[entity] = tr, success, now_ns
        head = self._head[entity]
        single = (head != _NONE) & (self.history.tr[head] == tr) & (self._next[head] == _NONE)
        self._head[entity[single]] = _NONE
        self._end(head[single], success[single], now_ns)
        for row in np.flatnonzero((head != _NONE) & ~single).tolist():
            self._end_list(int(entity[row]), int(tr[row]), bool(success[row]), now_ns)

    def _end_list(self, entity: int, tr: int, success: bool, now_ns: int) -> None:
        """Walks the operations that wait for an entity; those of another tr# stay."""
        operation = int(self._head[entity])
        self._head[entity] = _NONE
        while operation != _NONE:
            following = int(self._next[operation])
            if int(self.history.tr[operation]) == tr:
                self._end(np.array([operation]), np.array([success]), now_ns)
            else:
                self._next[operation], self._head[entity] = self._head[entity], operation
            operation = following

    def _end_if_earlier(self, operation: int, saga: tuple[int, int], acknowledged_ns: int) -> bool:
        """Ends an operation of a saga whose outcome was read before that of a later tr#; tells whether it was."""
        verdict = self._earlier.get(saga)
        if verdict is None:
            return False
        self._end(np.array([operation]), np.array([verdict[0]]), max(verdict[1], acknowledged_ns))
        return True

    def _enlist(self, operation: NDArray[np.int64], entity: NDArray[np.int64]) -> None:
        _, first = np.unique(entity, return_index=True)
        alone = np.zeros(len(entity), np.bool_)
        alone[first] = True
        alone &= self._head[entity] == _NONE
        self._head[entity[alone]] = operation[alone]
        for row in np.flatnonzero(~alone).tolist():
            self._next[operation[row]], self._head[entity[row]] = self._head[entity[row]], operation[row]

    def _end(self, operation: NDArray[np.int64], success: NDArray[np.bool_], ended_ns: int | NDArray[np.int64]) -> None:
        outcome = np.where(success, np.uint8(OK), np.uint8(FAIL))
        self.history.completed_ns[operation] = ended_ns
        self.history.outcome[operation] = outcome
        self._count(outcome)

    def _count(self, outcome: NDArray[np.uint8]) -> None:
        self.finished += len(outcome)
        counts = np.bincount(outcome, minlength=4).tolist()
        for name, count in zip(("ok", "fail", "info", "finished"), (*counts[1:4], len(outcome)), strict=True):
            self.history.progress[_FIELD[name]] += count
