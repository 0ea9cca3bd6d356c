"""Keeps a set of processes alive: what dies is started again, what was told to stop is not.

It is tended by its owner's loop instead of by a thread: a child's parent-death signal is tied to the thread that
started it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from system.runtime.observer import Observer

RESTARTS_MAX = 10
"""Deaths of one process before the supervisor gives up: what dies so often will not come up by being started again."""

BACKOFF_S = 0.2
STOP_GRACE_S = 20.0


class Child(Protocol):
    """A started process."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""

    def stop(self, grace_s: float) -> int:
        """Asks, waits, insists; the exit code."""


class GaveUp(Exception):
    """A process died too often; the message names it and its last exit code."""


@dataclass(slots=True)
class _Slot:
    child: Child
    life: int = 0
    died_s: float | None = None
    done: bool = False


class Supervisor:
    """`start(name, life)` starts a process; `life` counts from 0, so that a crash armed for the first does not strike
    the second.
    """

    def __init__(self, names: Sequence[str], start: Callable[[str, int], Child], observer: Observer) -> None:
        self._start = start
        self._observer = observer
        self._slots: dict[str, _Slot] = {}
        for name in names:
            self._slots[name] = _Slot(self._begin(name, 0))

    def _begin(self, name: str, life: int) -> Child:
        child = self._start(name, life)
        self._observer.event("process-started", process=name, pid=child.pid, life=life)
        return child

    def pids(self) -> dict[str, int]:
        """Name → pid of what runs."""
        return {name: slot.child.pid for name, slot in self._slots.items() if slot.child.poll() is None}

    def is_done(self, name: str) -> bool:
        """It ended by itself with exit code 0."""
        return self._slots[name].done

    def tend(self) -> None:
        """Starts again what died since the last call; call it several times a second. Raises `GaveUp`."""
        for name, slot in self._slots.items():
            if slot.done:
                continue
            code = slot.child.poll()
            if code is None:
                continue
            if slot.died_s is None:
                self._observer.event("process-exited", process=name, pid=slot.child.pid, exit_code=code)
                slot.done = code == 0
                slot.died_s = time.monotonic()
            elif slot.life >= RESTARTS_MAX:
                raise GaveUp(f"{name} died {slot.life + 1} times, last with exit code {code}")
            elif time.monotonic() - slot.died_s >= BACKOFF_S:
                slot.life += 1
                slot.died_s = None
                slot.child = self._begin(name, slot.life)

    def stop(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Asks the processes to finish what they have in hand and waits for them; name → exit code."""
        codes = {}
        for name in names if names is not None else list(self._slots):
            slot = self._slots.pop(name)
            pid = slot.child.pid
            codes[name] = slot.child.stop(STOP_GRACE_S)
            if not slot.done:
                self._observer.event("process-exited", process=name, pid=pid, exit_code=codes[name])
        return codes
