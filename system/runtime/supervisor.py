"""Keeps a set of processes alive: what dies is started again, what was told to stop is not.

It is tended by its owner's loop instead of by a thread: a child's parent-death signal is tied to the thread that
started it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from signal import SIGTERM, Signals
from typing import Protocol

from system.runtime.observer import Observer

RESTARTS_MAX = 10
"""Deaths of one process before the supervisor gives up: what dies so often will not come up by being started again."""

BACKOFF_S = 0.2
BACKOFF_MAX_S = 2.0
STEADY_S = 30.0
"""A life so long has come up: the deaths before it no longer count."""
STOP_GRACE_S = 20.0


class Child(Protocol):
    """A started process."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""

    def signal(self, number: Signals) -> None:
        """Sends a signal, unless it has ended."""

    def stop(self, grace_s: float) -> int:
        """Asks, waits, insists; the exit code."""


class GaveUp(Exception):
    """A process died too often; the message names it and its last exit code."""


@dataclass(slots=True)
class _Slot:
    child: Child
    life: int = 0
    deaths: int = 0
    """Those that count."""
    backoff_s: float = BACKOFF_S
    began_s: float = field(default_factory=time.monotonic)
    died_s: float | None = None
    done: bool = False
    expected: bool = False
    """Its next death is on purpose: it does not count, and even an end with exit code 0 is followed by another life."""
    held: bool = False
    """It is not started again before it is released."""
    leaving: bool = False


class Supervisor:
    """`start(name, life)` starts a process; `life` counts from 0, so that a crash armed for the first does not strike
    the second. While it is `forgiving`, no death counts towards `RESTARTS_MAX`: what a process needs may be away.
    """

    def __init__(self, names: Sequence[str], start: Callable[[str, int], Child], observer: Observer) -> None:
        self._start = start
        self._observer = observer
        self.forgiving = False
        self._slots: dict[str, _Slot] = {}
        for name in names:
            self.add(name)

    def _begin(self, name: str, life: int) -> Child:
        child = self._start(name, life)
        self._observer.event("process-started", process=name, pid=child.pid, life=life)
        return child

    def add(self, name: str) -> None:
        """One more process."""
        self._slots[name] = _Slot(self._begin(name, 0))

    def pids(self) -> dict[str, int]:
        """Name → pid of what runs."""
        return {name: slot.child.pid for name, slot in self._slots.items() if slot.child.poll() is None}

    def names(self) -> list[str]:
        """Every process that is kept alive or has ended by itself, whether it runs now or not."""
        return list(self._slots)

    def is_done(self, name: str) -> bool:
        """It ended by itself with exit code 0."""
        return self._slots[name].done

    def send(self, name: str, number: Signals) -> None:
        """Sends a signal to a process, unless it has ended."""
        self._slots[name].child.signal(number)

    def end(self, name: str, number: Signals) -> None:
        """Ends a process on purpose; it is started again once it is released."""
        slot = self._slots[name]
        slot.expected = slot.held = True
        slot.child.signal(number)

    def release(self, name: str) -> None:
        """From now on a process that was ended is started again."""
        if name in self._slots:
            self._slots[name].held = False

    def retire(self, name: str) -> None:
        """Asks a process to finish what it has in hand; it is not started again, and forgotten when it has ended."""
        slot = self._slots[name]
        slot.leaving = True
        slot.child.signal(SIGTERM)

    def tend(self) -> None:
        """Starts again what died since the last call; call it several times a second. Raises `GaveUp`."""
        for name, slot in list(self._slots.items()):
            code = slot.child.poll()
            if slot.done or code is None:
                continue
            if slot.died_s is None:
                self._observer.event("process-exited", process=name, pid=slot.child.pid, exit_code=code)
                self._bury(slot, code)
                if slot.leaving:
                    del self._slots[name]
            elif slot.deaths > RESTARTS_MAX:
                raise GaveUp(f"{name} died {slot.deaths} times, last with exit code {code}")
            elif not slot.held and time.monotonic() - slot.died_s >= slot.backoff_s:
                slot.life += 1
                slot.died_s, slot.began_s = None, time.monotonic()
                slot.child = self._begin(name, slot.life)

    def _bury(self, slot: _Slot, code: int) -> None:
        slot.died_s = time.monotonic()
        if slot.died_s - slot.began_s >= STEADY_S:
            slot.deaths, slot.backoff_s = 0, BACKOFF_S
        slot.done = code == 0 and not slot.expected
        if self.forgiving and not slot.expected:
            slot.backoff_s = min(2 * slot.backoff_s, BACKOFF_MAX_S)
        else:
            slot.backoff_s = BACKOFF_S
            slot.deaths += not slot.expected
        slot.expected = False

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
