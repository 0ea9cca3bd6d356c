"""The open-loop driver: hands each operation over when it is due, however the system fares, and records its outcome.

The thread that calls `drive` keeps the schedule and waits for nothing but the clock: what is due gets its `sent_ns` and
goes to its lane. A few sessions a lane, a thread and a connection each, take batches from there. When more than
`backlog_max` operations wait for a session, the rest stays in the schedule, its intended time kept, its `sent_ns` open.
One more thread reads outcomes. With `intended_ns=None` the loop is closed: `window` operations are kept outstanding.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadgen.history import History, Progress, read_progress
from loadgen.lanes import LaneQueue
from loadgen.ledger import Ledger
from loadgen.target import (
    FAIL,
    INFO,
    Begun,
    Failed,
    FateUnknown,
    Lane,
    NotApplied,
    Session,
    Target,
    no_finished,
    no_waiting,
)

NOT_BEGUN: Final = "not begun"
"""Error of an operation that waited for a session in vain: `fail`, as it never left the driver."""

_BACKOFF_S: Final = (0.05, 2.0)
_JOIN_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """When to drive what. `intended_ns` are offsets from the start, rising; None closes the loop.

    A closed loop keeps `window` operations outstanding. Outcomes are waited for `drain_deadline_s` at the end, and
    `stop_deadline_s` after a stop. `pause(stop, seconds)` passes the time until the next operation is due.
    """

    intended_ns: NDArray[np.int64] | None
    window: int = 8_000
    backlog_max: int = 8_000
    tick_s: float = 0.002
    drain_deadline_s: float = 60.0
    stop_deadline_s: float = 2.0
    pause: Callable[[threading.Event, float], object] = threading.Event.wait


def drive(
    plan: Plan,
    target: Target,
    history: History,
    *,
    stop: threading.Event,
    announce: Callable[[str], None] = lambda phase: None,
    disturbed: Callable[[], bool] = lambda: False,
) -> Progress:
    """Drives the operations that the history says are unsent, and drains. Returns the final counters.

    `stop` (set by a signal handler) ends the sending and shortens the drain. `announce` is told each phase as it
    begins: `warm-up`, `measure`, `drain`. While `disturbed()`, the drain's deadline does not run. Operating errors
    become outcomes; a programmer's error in the target is raised from here.
    """
    with _quiet_interpreter():
        return _Drive(plan, target, history, stop).run(announce, disturbed)


@contextmanager
def _quiet_interpreter() -> Iterator[None]:
    """A thread may hold the interpreter for 5 ms by default, which would show as slip; so would long collections."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval_s)


class _Drive:
    def __init__(self, plan: Plan, target: Target, history: History, stop: threading.Event) -> None:
        self.plan = plan
        self.target = target
        self.history = history
        self.stop = stop
        self.ledger = Ledger(history, entities=target.entities)
        self.sent = self.first = history.first_unsent()
        self.queues = [LaneQueue(lane, first=self.first) for lane in target.lanes]
        self.error: Exception | None = None
        self._closing = threading.Event()
        self._never = threading.Event()

    def run(self, announce: Callable[[str], None], disturbed: Callable[[], bool]) -> Progress:
        threads = [self._thread(self._read_outcomes, "outcomes")]
        for queue in self.queues:
            for number in range(queue.lane.sessions):
                threads.append(self._thread(partial(self._serve, queue), f"{queue.lane.name}-{number}"))
        try:
            keep = self._keep_window if self.plan.intended_ns is None else self._keep_schedule
            keep(announce)
            self._mark_phase("drain", announce)
            self._drain(disturbed)
        finally:
            self._close(threads)
        for queue in self.queues:
            self.ledger.give_up(queue.left(), outcome=FAIL, error=NOT_BEGUN)
        self.ledger.mark("ended_ns", time.monotonic_ns())
        if self.error is not None:
            raise self.error
        return read_progress(self.history)

    def _close(self, threads: list[threading.Thread]) -> None:
        self._closing.set()
        for queue in self.queues:
            queue.wake()
        deadline_s = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    def _keep_schedule(self, announce: Callable[[str], None]) -> None:
        assert self.plan.intended_ns is not None
        intended_ns, total = self.history.intended_ns, len(self.history)
        if self.first == 0:
            intended_ns[:] = self.plan.intended_ns + time.monotonic_ns()
        self._mark_phase("warm-up" if self.sent < self.history.warm_up else "measure", announce)
        while self.sent < total and not self.stop.is_set():
            now_ns = time.monotonic_ns()
            due = int(np.searchsorted(intended_ns, now_ns, side="right"))
            room = self.plan.backlog_max - sum(queue.handed - queue.begun for queue in self.queues)
            self._hand_over(min(due, self.sent + max(0, room)), now_ns, announce)
            if self.sent < total:
                ahead_s = (int(intended_ns[self.sent]) - time.monotonic_ns()) / 1e9
                self.plan.pause(self.stop, max(self.plan.tick_s, ahead_s))

    def _keep_window(self, announce: Callable[[str], None]) -> None:
        total, refill = len(self.history), max(1, self.plan.window // 8)
        self._mark_phase("warm-up" if self.sent < self.history.warm_up else "measure", announce)
        while self.sent < total and not self.stop.is_set():
            outstanding = self.sent - self.first - self.ledger.finished
            free = self.plan.window - outstanding
            if free >= refill:
                now_ns = time.monotonic_ns()
                until = min(total, self.sent + free)
                self.history.intended_ns[self.sent : until] = now_ns
                self._hand_over(until, now_ns, announce)
            else:
                self.stop.wait(self.plan.tick_s)

    def _hand_over(self, until: int, now_ns: int, announce: Callable[[str], None]) -> None:
        """Stamps and queues the operations below `until`. The stamp comes first: a row without one was never queued."""
        if until <= self.sent:
            return
        self.history.sent_ns[self.sent : until] = now_ns
        if until > self.history.warm_up:
            self._mark_phase("measure", announce)
        self.sent = until
        for queue in self.queues:
            queue.hand_over(until)
        self.ledger.mark("sent", until)

    def _mark_phase(self, phase: str, announce: Callable[[str], None]) -> None:
        """Once a run: a second driver goes on in the phase in which the first one died."""
        name = phase.replace("-", "") + "_began_ns"
        if not getattr(read_progress(self.history), name):
            self.ledger.mark(name, time.monotonic_ns())
            announce(phase)

    def _drain(self, disturbed: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + self.plan.drain_deadline_s
        while self.first + self.ledger.finished < self.sent and time.monotonic() < deadline_s and self.error is None:
            if self.stop.is_set():
                deadline_s = min(deadline_s, time.monotonic() + self.plan.stop_deadline_s)
            elif disturbed():
                deadline_s = time.monotonic() + self.plan.drain_deadline_s
            self._never.wait(0.005)

    def _serve(self, queue: LaneQueue) -> None:
        session: Session | None = None
        while not self._closing.is_set():
            session = session or self._open_session(queue.lane)
            batch = queue.claim(self._closing) if session else np.empty(0, np.int64)
            if session and len(batch) and not self._begin(session, batch):
                session.close()
                session = None
        if session:
            session.close()

    def _begin(self, session: Session, batch: NDArray[np.int64]) -> bool:
        """Begins a batch and records what is known; False where the session should be replaced."""
        try:
            begun = session.begin(batch)
        except NotApplied as error:
            begun = Begun(no_waiting(), no_finished(), 0, (Failed(batch, FAIL, str(error)),))
        except FateUnknown as error:
            begun = Begun(no_waiting(), no_finished(), 0, (Failed(batch, INFO, str(error)),))
        self.ledger.finish(begun.finished, acknowledged_ns=begun.acknowledged_ns)
        self.ledger.wait_for(begun.waiting, acknowledged_ns=begun.acknowledged_ns)
        for failed in begun.failed:
            self.ledger.failed(failed.error)
            self.ledger.give_up(failed.operation, outcome=failed.outcome, error=failed.error)
        return not begun.failed

    def _open_session(self, lane: Lane) -> Session | None:
        """Opens a session, with back-off while the system refuses; None when the drive is closing."""
        backoff_s, backoff_max_s = _BACKOFF_S
        while not self._closing.is_set():
            try:
                return lane.open_session()
            except (NotApplied, FateUnknown) as error:
                self.ledger.failed(str(error))
                self._closing.wait(backoff_s)
                backoff_s = min(2 * backoff_s, backoff_max_s)
        return None

    def _read_outcomes(self) -> None:
        while not self._closing.is_set():
            try:
                outcomes = self.target.outcomes(0.1)
            except (NotApplied, FateUnknown) as error:
                self.ledger.failed(str(error))
                self._closing.wait(_BACKOFF_S[0])
                continue
            if len(outcomes.entity):
                self.ledger.resolve(outcomes, now_ns=time.monotonic_ns())

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        """A daemon, so that a call that never returns cannot keep the process; its error is raised by `run`."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a thread's error has no caller to reach but through `run`
                self.error = self.error or error
                self.stop.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread
