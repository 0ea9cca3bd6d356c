"""Faults of our own processes: workers of a service and the driver."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bench.nemesis.kinds import DRIVER, OWNER
from bench.nemesis.ownership import held_partitions, owner_of
from bench.nemesis.plan import Fault
from bench.nemesis.site import Hand, Missed, Site, Wound

RUNNING_LOOKS: Final = 4
"""A slow process runs from one look to the next one of so many."""


def targets(fault: Fault, site: Site) -> list[str]:
    """The processes that a role means now, those that run: of a service all workers, of `owner` the one that owns."""
    running = site.supervisor.pids()
    if fault.role == OWNER:
        owner = owner_of(site.spec)
        return [owner] if owner in running else []
    if fault.role == DRIVER or fault.role in running:
        return [fault.role] if fault.role in running else []
    return [name for name in running if name.rpartition("-")[0] == fault.role]


def kill(fault: Fault, site: Site) -> Wound | Missed:
    """SIGKILL, and no new life before it heals."""
    return _ended(fault, site, signal.SIGKILL)


def restart(fault: Fault, site: Site) -> Wound | Missed:
    """SIGTERM: it finishes what it has in hand, leaves its group and is started again."""
    return _ended(fault, site, signal.SIGTERM)


def _ended(fault: Fault, site: Site, number: signal.Signals) -> Wound | Missed:
    names = targets(fault, site)
    if not names:
        return absent(fault)
    hit = described(names, site)
    for name in names:
        site.supervisor.end(name, number)
    return Wound(hit, heal=partial(_release, names, site), healed=partial(run_again, hit["pids"], site))


def _release(names: Sequence[str], site: Site) -> None:
    for name in names:
        site.supervisor.release(name)


def run_again(pids: Mapping[str, int], site: Site) -> bool:
    """Every one of them runs, as another process."""
    running = site.supervisor.pids()
    return all(running.get(name, pid) != pid for name, pid in pids.items())


def pause(fault: Fault, site: Site) -> Wound | Missed:
    """SIGSTOP, then SIGCONT: whoever wakes up takes itself for the owner of what was given away meanwhile."""
    names = targets(fault, site)
    if not names:
        return absent(fault)
    hit = described(names, site)
    _signal(names, site, signal.SIGSTOP)
    return Wound(hit, heal=partial(_signal, names, site, signal.SIGCONT))


def _signal(names: Sequence[str], site: Site, number: signal.Signals) -> None:
    for name in names:
        if name in site.supervisor.pids():
            site.supervisor.send(name, number)


@dataclass(slots=True)
class _Throttle:
    """Stops the processes on three of four looks."""

    names: Sequence[str]
    site: Site
    looks: int = 0
    over: bool = False

    def tend(self) -> None:
        self.looks += 1
        if not self.over:
            self._turn()

    def heal(self) -> None:
        self.over = True
        _signal(self.names, self.site, signal.SIGCONT)

    def _turn(self) -> None:
        _signal(self.names, self.site, signal.SIGCONT if self.looks % RUNNING_LOOKS == 0 else signal.SIGSTOP)


def slow(fault: Fault, site: Site) -> Wound | Missed:
    """The processes run for a quarter of the time, in turns of a few tenths of a second: slow, but never silent."""
    names = targets(fault, site)
    if not names:
        return absent(fault)
    throttle = _Throttle(names, site)
    return Wound(described(names, site), tend=throttle.tend, heal=throttle.heal)


def described(names: Sequence[str], site: Site) -> dict[str, Any]:
    """What `fault-struck` says of processes that are about to be hit: names, pids, the partitions that they own."""
    running = site.supervisor.pids()
    return {
        "processes": list(names),
        "pids": {name: running[name] for name in names},
        "partitions": {name: held for name in names if (held := held_partitions(site.spec, name))},
    }


def absent(fault: Fault) -> Missed:
    return Missed(f"no process of {fault.role} was running")


HANDS: Final[Mapping[str, Hand]] = {"kill": kill, "restart": restart, "pause": pause, "slow": slow}
