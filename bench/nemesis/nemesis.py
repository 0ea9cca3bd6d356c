"""The nemesis: strikes what is due, heals what it has struck, waits until all is as it was, and records each of it.

It is tended by the runner's loop, as processes must be started from the main thread. A fault leaves `fault-struck`
(with what it hit) or `fault-missed` (with the reason) in the events, then `fault-healed` and `fault-recovered`, or
`fault-lingers` where a deadline passed first.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from bench.nemesis.kinds import BROKERS, KINDS, NETWORK
from bench.nemesis.plan import Fault
from bench.nemesis.site import Hands, Missed, Site, Wound
from bench.process import FAULTY
from bench.waiting import DeadlineExceeded, wait_until

MISS_GRACE_S: Final = 10.0
"""A fault that finds nothing to hit looks again for so long: its target may be on the way back from another one."""
BITE_DEADLINE_S: Final = 20.0
"""What takes a while to begin, such as a process that joins a group, is given up after so long."""
HEAL_DEADLINE_S: Final = 90.0
SETTLING_TIMES: Final = 4
"""How many times what its kind usually needs is added to the deadline: three brokers start one after the other."""
RECOVERY_DEADLINE_S: Final = 90.0
LAG_FLOOR_RECORDS: Final = 1_000
"""Up to so many records behind, a group counts as recovered however small its lag was before."""
WAY_OUT_S: Final = 2.0
"""On the way out nobody waits longer: what still has to be started again is ended anyway."""

_OF_BROKERS: Final = (BROKERS, NETWORK)


class Stage(Enum):
    """Where a fault is in its life."""

    WAITING = 0
    STRUCK = 1
    HEALING = 2
    RECOVERING = 3
    OVER = 4


@dataclass(slots=True)
class _Task:
    fault: Fault
    stage: Stage = Stage.WAITING
    wound: Wound | None = None
    bitten: bool = False
    lag_before: int = 0
    since_ns: int = 0
    """When its stage began."""


class Nemesis:
    """`hands` strike the `faults` of a run at `site`. Call `tend` several times a second, `heal_all` on the way out."""

    def __init__(self, faults: Sequence[Fault], hands: Hands, site: Site) -> None:
        self._hands = hands
        self._site = site
        self._tasks = [_Task(fault) for fault in sorted(faults, key=lambda fault: fault.at_s)]
        self._began_ns = 0

    def tend(self, began_ns: int) -> None:
        """Does what is due. `began_ns`: when the measured phase began (monotonic ns), 0 = not yet."""
        self._began_ns = began_ns
        for task in self._tasks:
            self._step(task)
            if task.stage is Stage.OVER:
                task.wound = None  # It may hold a client, and a long mix has many.
        self._mark()

    @property
    def is_at_peace(self) -> bool:
        """Nothing is struck, healing or recovering; what has not struck yet does not count."""
        return all(task.stage in (Stage.WAITING, Stage.OVER) for task in self._tasks)

    def load_ended(self) -> None:
        """What has not struck by now has nothing left to strike."""
        for task in self._tasks:
            if task.stage is Stage.WAITING:
                self._miss(task, "the load had ended")

    def heal_all(self) -> None:
        """Heals at once whatever is struck, and waits a little for it; may be called again. For every way out."""
        for task in self._tasks:
            if task.stage is Stage.WAITING:
                task.stage = Stage.OVER
            if task.stage is Stage.STRUCK:
                self._heal(task)
        try:
            wait_until(self._all_healed, deadline_s=WAY_OUT_S, why="what was struck to heal", poll_s=0.02)
        except DeadlineExceeded as error:
            self._event("fault-lingers", reason=str(error))
        self._mark()

    def _all_healed(self) -> bool:
        for task in self._tasks:
            if task.stage is Stage.HEALING:
                self._await_healing(task)
        return all(task.stage is not Stage.HEALING for task in self._tasks)

    def _step(self, task: _Task) -> None:
        age_s = (time.monotonic_ns() - task.since_ns) / 1e9
        if task.stage is Stage.WAITING:
            self._strike(task)
        elif task.stage is Stage.STRUCK:
            self._tend_wound(task)
            if age_s >= self._lasts_s(task):
                self._heal(task)
        elif task.stage is Stage.HEALING:
            self._await_healing(task)
        elif task.stage is Stage.RECOVERING:
            self._await_recovery(task, age_s)

    def _lasts_s(self, task: _Task) -> float:
        assert task.wound is not None
        waits = task.wound.counts_from_bite and not task.bitten
        return task.fault.for_s + (BITE_DEADLINE_S if waits else 0)

    def _strike(self, task: _Task) -> None:
        now_ns = time.monotonic_ns()
        due_ns = self._began_ns + int(task.fault.at_s * 1e9)
        if not self._began_ns or now_ns < due_ns:
            return
        if self._must_wait(task.fault):
            task.since_ns = now_ns
            return
        late_s = (now_ns - max(due_ns, task.since_ns)) / 1e9
        task.lag_before = self._lag()
        hand = self._hands[task.fault.family].get(task.fault.kind)
        found = Missed("nobody knows how to strike it") if hand is None else hand(task.fault, self._site)
        if isinstance(found, Missed):
            if late_s >= MISS_GRACE_S:
                self._miss(task, found.reason)
            return
        task.wound = found
        self._enter(task, Stage.STRUCK)
        self._bite(task)

    def _must_wait(self, fault: Fault) -> bool:
        """A broker that was to be back by now, and is not, is waited for: a quorum is lost on purpose or not at all."""
        return fault.family in _OF_BROKERS and any(
            other.stage in (Stage.STRUCK, Stage.HEALING)
            and other.fault.family in _OF_BROKERS
            and other.fault.at_s + other.fault.for_s <= fault.at_s
            for other in self._tasks
        )

    def _tend_wound(self, task: _Task) -> None:
        assert task.wound is not None
        task.wound.tend()
        self._bite(task)

    def _bite(self, task: _Task) -> None:
        """Tells of the strike once it is known what was hit."""
        assert task.wound is not None
        if task.bitten:
            return
        told = task.wound.bites() if task.wound.bites is not None else {}
        if told is not None:
            task.bitten = True
            if task.wound.counts_from_bite and task.stage is Stage.STRUCK:
                task.since_ns = time.monotonic_ns()
            self._event("fault-struck", task, hit={**task.wound.hit, **told})

    def _heal(self, task: _Task) -> None:
        assert task.wound is not None
        self._enter(task, Stage.HEALING)
        task.wound.heal()

    def _await_healing(self, task: _Task) -> None:
        assert task.wound is not None
        self._tend_wound(task)
        age_s = (time.monotonic_ns() - task.since_ns) / 1e9
        if not task.wound.healed():
            if age_s >= (deadline_s := _heal_deadline_s(task.fault)):
                self._event("fault-lingers", task, reason=f"it has not healed within {deadline_s:g} s")
                task.stage = Stage.OVER
            return
        self._bite(task)
        if not task.bitten:
            self._miss(task, "it hit nothing while it lasted")
            return
        self._event("fault-healed", task)
        self._enter(task, Stage.RECOVERING)

    def _await_recovery(self, task: _Task, age_s: float) -> None:
        """Recovered: the groups are as far behind as they were before it struck, or hardly."""
        if self._lag() <= max(2 * task.lag_before, LAG_FLOOR_RECORDS):
            self._event("fault-recovered", task)
            task.stage = Stage.OVER
        elif age_s >= RECOVERY_DEADLINE_S:
            reason = f"{self._lag()} records behind {RECOVERY_DEADLINE_S:g} s later, {task.lag_before} before"
            self._event("fault-lingers", task, reason=reason)
            task.stage = Stage.OVER

    def _lag(self) -> int:
        return sum(self._site.lag().values())

    def _enter(self, task: _Task, stage: Stage) -> None:
        task.stage = stage
        task.since_ns = time.monotonic_ns()

    def _miss(self, task: _Task, reason: str) -> None:
        self._event("fault-missed", task, reason=reason)
        task.stage = Stage.OVER

    def _event(self, event: str, task: _Task | None = None, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        if task is not None:
            fields["fault"] = str(task.fault)
        self._site.observer.event(event, **fields)

    def _mark(self) -> None:
        """Tells the driver, whose deadline for the drain then stands still, and the supervisor of what is struck."""
        open_now = any(task.stage in (Stage.STRUCK, Stage.HEALING) for task in self._tasks)
        self._site.supervisor.forgiving = open_now
        mark = self._site.spec.path / FAULTY
        if open_now != mark.exists():
            mark.touch() if open_now else mark.unlink()


def _heal_deadline_s(fault: Fault) -> float:
    return HEAL_DEADLINE_S + SETTLING_TIMES * KINDS[fault.family][fault.kind].settles_s
