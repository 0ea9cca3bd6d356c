"""What the hands of the nemesis may touch, and what they hand back: a wound that heals, or the reason for a miss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.cluster.endpoints import Endpoints
from bench.cluster.process import Process
from bench.nemesis.plan import Fault
from bench.recording.observer import FileObserver
from bench.spec import RunSpec
from system.runtime.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Site:
    """A run while it goes on. `start(role, name, life)` starts one more process of it, from the main thread alone.

    `lag()`: service → records not yet committed, as of the newest sample.
    """

    spec: RunSpec
    supervisor: Supervisor
    endpoints: Endpoints
    observer: FileObserver
    start: Callable[[str, str, int], Process]
    lag: Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Missed:
    """A fault found nothing to hit, and why. It is tried again for a while: what it looks for may come back."""

    reason: str


def nothing() -> None:
    """Nothing to do between strike and healing."""


def at_once() -> bool:
    """Healed as soon as `heal` returns."""
    return True


@dataclass(frozen=True, slots=True)
class Wound:
    """A fault that struck. No function here waits longer than about 0.1 s.

    `hit` says what it hit, as JSON values: `processes`, `pids`, `partitions`, `epoch`, …. `heal` begins to undo it, and
    is called once, at its time or when the run ends early; `healed` says, when asked again and again, whether that is
    done. `tend` is called several times a second from the strike until it has healed, for what takes several steps.

    `counts_from_bite`: what it does takes a while to begin, and lasts for the plan's time from then on.

    Where the strike alone does not tell what was hit, `bites` does, asked as often as `tend` and once more when it has
    healed: None = nothing yet. The fault has struck only when it answers.
    """

    hit: Mapping[str, Any]
    heal: Callable[[], None] = nothing
    healed: Callable[[], bool] = at_once
    tend: Callable[[], None] = nothing
    bites: Callable[[], Mapping[str, Any] | None] | None = None
    counts_from_bite: bool = False


Hand = Callable[[Fault, Site], Wound | Missed]
"""Strikes one kind of fault."""

Hands = Mapping[str, Mapping[str, Hand]]
"""Family → kind → its hand."""


@dataclass(frozen=True, slots=True)
class DoNothing:
    """Hands that strike nothing: what a run with them says of its faults must be UNKNOWN."""

    reason: str = "these hands strike nothing"
    struck: list[str] = field(default_factory=list)

    def __call__(self, fault: Fault, _site: Site) -> Missed:
        self.struck.append(str(fault))
        return Missed(self.reason)
