"""What a process and the machine have used so far, from /proc: a reading costs about 0.1 ms, so that watching is not
the load.

CPU is cumulative and never goes back: over restarts of a name it adds up, and of a family (PostgreSQL's server with
its backends) the children that have ended stay counted, as their parent reaps them.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """`started` tells a process from a later one with the same pid; memory is RSS, of a family shared pages counted
    once.
    """

    started: int
    cpu_s: float
    rss_bytes: int
    threads: int
    fds: int


class Machine(NamedTuple):
    """Cumulative: busy CPU, time stolen by the hypervisor, time in which some task waited for a CPU (PSI; None = no
    such file).
    """

    cpu_s: float
    steal_s: float
    pressure_cpu_some_us: int | None


class _Stat(NamedTuple):
    started: int
    own_s: float
    reaped_s: float
    threads: int
    rss_pages: int


def usage_of(pid: int) -> Usage | None:
    """One process without its children; None when it is gone."""
    stat = _stat(pid)
    if stat is None:
        return None
    return Usage(stat.started, stat.own_s, stat.rss_pages * _PAGE_BYTES, stat.threads, _open_files(pid))


def family_usage_of(pid: int) -> Usage | None:
    """A server with its children, living and reaped; None when it is gone.

    Every backend's RSS has the shared buffers that it touched, so memory is all private pages, and of the shared ones
    the most that a single member has mapped.
    """
    stat = _stat(pid)
    if stat is None:
        return None
    members = {child: found for child in _children(pid) if (found := _stat(child)) is not None}
    memory = [_memory(member) for member in (pid, *members)]
    return Usage(
        stat.started,
        stat.own_s + stat.reaped_s + sum(child.own_s + child.reaped_s for child in members.values()),
        sum(private for private, _ in memory) + max(shared for _, shared in memory),
        stat.threads + sum(child.threads for child in members.values()),
        sum(_open_files(member) for member in (pid, *members)),
    )


def machine() -> Machine:
    """The whole machine since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _wait, irq, soft, steal = (int(field) for field in file.readline().split()[1:9])
    return Machine((user + nice + system + irq + soft) / _TICKS_A_SECOND, steal / _TICKS_A_SECOND, _pressure())


class CpuLedger:
    """Cumulative CPU seconds by name over the incarnations of its process, and never less than it has said before."""

    def __init__(self) -> None:
        self._ended: dict[str, float] = {}
        self._current: dict[str, tuple[int, float]] = {}

    def charge(self, name: str, usage: Usage) -> float:
        """Enter a reading; the name's total so far. What a process used after its last reading is not known."""
        started, spent = self._current.get(name, (usage.started, 0.0))
        if started != usage.started:
            self._ended[name] = self._ended.get(name, 0.0) + spent
            spent = 0.0
        self._current[name] = (usage.started, max(spent, usage.cpu_s))
        return self._total(name)

    def totals(self) -> dict[str, float]:
        """Name → seconds, as of its last reading."""
        return {name: self._total(name) for name in self._current}

    def _total(self, name: str) -> float:
        return self._ended.get(name, 0.0) + self._current[name][1]


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold blanks; the numbers begin behind the last one. Field n of proc(5) is at n - 3.
    field = text.rpartition(")")[2].split()
    return _Stat(
        started=int(field[19]),
        own_s=(int(field[11]) + int(field[12])) / _TICKS_A_SECOND,
        reaped_s=(int(field[13]) + int(field[14])) / _TICKS_A_SECOND,
        threads=int(field[17]),
        rss_pages=int(field[21]),
    )


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _memory(pid: int) -> tuple[int, int]:
    """(private, shared) bytes in memory; zeros when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return _kib(lines, ("RssAnon",)) * 1024, _kib(lines, ("RssFile", "RssShmem")) * 1024


def _kib(lines: Iterable[str], names: tuple[str, ...]) -> int:
    return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in names)


def _open_files(pid: int) -> int:
    """-1 when it is not ours to see."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:
        return -1


def _pressure() -> int | None:
    try:
        some = Path("/proc/pressure/cpu").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    return int(some.rpartition("total=")[2])
