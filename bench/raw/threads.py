"""Who was busy in a window: the application's thread, librdkafka's threads, or the broker.

A thread can use one core and no more, so a party is saturated when its busiest thread is; that is what names a
bottleneck. The application's threads count together, as the interpreter lets one of them run at a time. Times are the
kernel's, in steps of 10 ms. librdkafka's threads carry names that begin with `rdk:`.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

APPLICATION, CLIENT, BROKER, NONE = "application thread", "client thread", "broker", "none"
CLIENT_PREFIX: Final = "rdk:"
SATURATED: Final = 0.9
IDLE: Final = 0.5
"""A party whose busiest thread is below this share waits more than it works."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Cores used in a window: by the application, by the busiest thread of client and broker, by broker and machine.

    None where the broker is not on this machine.
    """

    application: float
    client_thread: float
    broker_thread: float | None
    broker: float | None
    machine: float
    cores: int

    @property
    def is_machine_saturated(self) -> bool:
        """Whether every core was taken, so that whoever waited may have waited for a core."""
        return self.machine >= SATURATED * self.cores


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    own: dict[int, tuple[str, float]]
    broker: dict[int, float]
    machine_s: float


class Watch:
    """One window: opened when made, closed by `close`."""

    def __init__(self, broker_pid: int | None) -> None:
        self._broker_pid = broker_pid
        self._begin = self._read()

    def close(self) -> Busy:
        """How busy everybody was since the window opened."""
        end, begin = self._read(), self._begin
        window_s = max(end.at_s - begin.at_s, 1e-9)
        own = [(name, spent - begin.own.get(tid, (name, 0.0))[1]) for tid, (name, spent) in end.own.items()]
        broker = [spent - begin.broker.get(tid, 0.0) for tid, spent in end.broker.items()]
        return Busy(
            application=sum(spent for name, spent in own if not name.startswith(CLIENT_PREFIX)) / window_s,
            client_thread=max((spent for name, spent in own if name.startswith(CLIENT_PREFIX)), default=0.0) / window_s,
            broker_thread=max(broker) / window_s if broker else None,
            broker=sum(broker) / window_s if broker else None,
            machine=(end.machine_s - begin.machine_s) / window_s,
            cores=len(os.sched_getaffinity(0)),
        )

    def _read(self) -> _Reading:
        own = {tid: (_name(tid), spent) for tid, spent in _threads(os.getpid()).items()}
        broker = {} if self._broker_pid is None else _threads(self._broker_pid)
        return _Reading(time.perf_counter(), own, broker, _machine_s())


def bottleneck(busy: Busy) -> str:
    """`application thread`, `client thread`, `broker`, or `none` where everybody mostly waited.

    Where all cores are taken and yet nobody has one for itself, it is who used the most.
    """
    shares = {APPLICATION: busy.application, CLIENT: busy.client_thread, BROKER: busy.broker_thread or 0.0}
    if max(shares.values()) < SATURATED and busy.is_machine_saturated and busy.broker is not None:
        shares[BROKER] = busy.broker
    name = max(shares, key=lambda party: shares[party])
    return name if shares[name] >= IDLE else NONE


def _threads(pid: int) -> dict[int, float]:
    try:
        return {one.id: one.user_time + one.system_time for one in psutil.Process(pid).threads()}
    except psutil.NoSuchProcess:
        return {}


def _name(tid: int) -> str:
    try:
        return Path(f"/proc/self/task/{tid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _machine_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
