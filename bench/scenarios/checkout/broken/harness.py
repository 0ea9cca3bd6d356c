"""Wrong pieces of the harness itself: a client, a nemesis and generators that say what is not so.

What they do to a run must be noticed as a wrong system is: an answer that contradicts the state, a fault that struck
nobody, a schedule that was not kept.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bench.scenario import Broken
from bench.scenarios.checkout.broken.pieces import in_workers
from loadgen.driver import Plan
from loadgen.history import History
from loadgen.target import Begun, Lane, Outcomes, Session, Target

PATIENCE_S = 0.05
STALL_S = 3.0
LEISURELY_RATE = "200"
"""At which the schedule outlasts the stall that is hidden in it."""


class _Awaited:
    """The sagas whose outcome is waited for, with the time at which it is waited for no longer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until_s: dict[tuple[int, int], float] = {}

    def add(self, begun: Begun) -> None:
        until_s = time.monotonic() + PATIENCE_S
        with self._lock:
            for saga in zip(begun.waiting.entity.tolist(), begun.waiting.tr.tolist(), strict=True):
                self._until_s[saga] = until_s

    def overdue(self, seen: Outcomes) -> list[tuple[int, int]]:
        """Those whose time is up, once each; what was `seen` is waited for no longer."""
        with self._lock:
            for saga in zip(seen.entity.tolist(), seen.tr.tolist(), strict=True):
                self._until_s.pop(saga, None)
            late = [saga for saga, until_s in self._until_s.items() if until_s <= time.monotonic()]
            for saga in late:
                del self._until_s[saga]
        return late


class _Noting:
    """A session that notes which sagas are waited for."""

    def __init__(self, session: Session, awaited: _Awaited) -> None:
        self._session = session
        self._awaited = awaited

    def begin(self, operations: NDArray[np.int64]) -> Begun:
        begun = self._session.begin(operations)
        self._awaited.add(begun)
        return begun

    def close(self) -> None:
        self._session.close()


def _impatient(target: Target) -> Target:
    """Answers `fail` for a saga whose outcome has not come within its patience."""
    awaited = _Awaited()

    def noting(lane: Lane) -> Lane:
        return replace(lane, open_session=lambda: _Noting(lane.open_session(), awaited))

    def outcomes(timeout_s: float) -> Outcomes:
        seen = target.outcomes(min(timeout_s, PATIENCE_S / 2))
        late = awaited.overdue(seen)
        if not late:
            return seen
        entity, tr = zip(*late, strict=True)
        return Outcomes(
            np.concatenate((seen.entity, np.array(entity, np.int64))),
            np.concatenate((seen.tr, np.array(tr, np.int32))),
            np.concatenate((seen.success, np.zeros(len(late), np.bool_))),
        )

    return replace(target, lanes=tuple(noting(lane) for lane in target.lanes), outcomes=outcomes)


def _stalling(hide: Callable[[History, int], None]) -> Callable[[Plan, History], Plan]:
    """A generator that stands still for `STALL_S` after a quarter of the load; `hide(history, stalled_ns)` is called at
    each of its pauses behind that.
    """

    def planned(plan: Plan, history: History) -> Plan:
        stalled_ns: list[int] = []

        def pause(stop: threading.Event, seconds: float) -> None:
            stop.wait(seconds)
            if stalled_ns:
                hide(history, 0)
            elif history.first_unsent() >= len(history) // 4:
                began_ns = time.monotonic_ns()
                stop.wait(STALL_S)
                stalled_ns.append(time.monotonic_ns() - began_ns)
                hide(history, stalled_ns[0])

        return replace(plan, pause=pause)

    return planned


def _shifted(history: History, stalled_ns: int) -> None:
    """What was due while it stood still is intended behind that."""
    history.intended_ns[history.first_unsent() :] += stalled_ns


def _backdated(history: History, _stalled_ns: int) -> None:
    """What was sent late was sent when it was due."""
    late = (history.sent_ns > 0) & (history.sent_ns > history.intended_ns)
    history.sent_ns[late] = history.intended_ns[late]


HARNESS: Mapping[str, Broken] = MappingProxyType(
    {
        "timeout-as-failure": Broken(
            story="the client takes an outcome that has not come within 50 ms for a failure",
            caught_by=("response-state-mismatch",),
            load=_impatient,
        ),
        "idle-nemesis": Broken(
            story="the nemesis says that it struck, and nothing has happened",
            caught_by=("did not strike",),
            exit_code=2,
            fault="crash:pay@after-state#4",
            worker=in_workers("pay", strike=lambda _last_words: None),
        ),
        "stalling-generator": Broken(
            story="the generator stalls three seconds and moves the rest of its schedule behind them",
            caught_by=("seeded schedule",),
            exit_code=4,
            condition="schedule",
            rate=LEISURELY_RATE,
            plan=_stalling(_shifted),
        ),
        "backdating-generator": Broken(
            story="the generator stalls three seconds and says that it sent on time what it sent late",
            caught_by=("had not sent",),
            exit_code=4,
            condition="schedule",
            rate=LEISURELY_RATE,
            plan=_stalling(_backdated),
        ),
    }
)
"""Name → wrong harness."""
