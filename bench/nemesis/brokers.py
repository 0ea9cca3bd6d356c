"""Faults of the brokers: killed, stopped, shut down in order, one after the other, two of three at once.

A broker has healed when it holds every partition up to date again, not when its process runs.
"""

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from bench.nemesis.asking import NoAnswer
from bench.nemesis.plan import Fault
from bench.nemesis.roles import are_in_sync, brokers_of, hit_by
from bench.nemesis.site import Hand, Missed, Site, Wound

SHUTDOWN_S: Final = 30.0
"""A controlled shutdown that takes longer is ended: without a quorum it would go on for ever."""
LOOK_S: Final = 0.5
"""How often brokers are asked whether all is in sync."""


@dataclass(frozen=True, slots=True)
class Aim:
    """The brokers that a fault is about to hit, and what `fault-struck` will say of them."""

    names: Sequence[str]
    hit: Mapping[str, Any]


def aimed(fault: Fault, site: Site) -> Aim | Missed:
    """Whom the fault's role means now."""
    try:
        names = brokers_of(fault.role, site.spec, site.endpoints)
        return Aim(names, hit_by(names, site.spec, site.endpoints))
    except NoAnswer as reason:
        return Missed(str(reason))


def kill(fault: Fault, site: Site) -> Wound | Missed:
    """SIGKILL, and no new life before it heals."""
    return _ended(fault, site, signal.SIGKILL)


def restart(fault: Fault, site: Site) -> Wound | Missed:
    """SIGTERM: it hands its partitions over and ends; it is started again when it heals."""
    return _ended(fault, site, signal.SIGTERM)


def _ended(fault: Fault, site: Site, number: signal.Signals) -> Wound | Missed:
    aim = aimed(fault, site)
    if isinstance(aim, Missed):
        return aim
    gone = [Gone(name, site) for name in aim.names]
    for each in gone:
        each.end(number)
    looks = Looks(aim.names, site)

    def come_back() -> None:
        for each in gone:
            each.may_return = True

    def tend() -> None:
        for each in gone:
            each.tend()

    return Wound(
        aim.hit, heal=come_back, tend=tend, healed=lambda: all(each.is_back for each in gone) and looks.in_sync()
    )


def pause(fault: Fault, site: Site) -> Wound | Missed:
    """SIGSTOP, then SIGCONT: it keeps its connections, is taken for dead, and learns of its deposition late."""
    aim = aimed(fault, site)
    if isinstance(aim, Missed):
        return aim
    for name in aim.names:
        site.endpoints.roster.of(name).signal(signal.SIGSTOP)
        told(site, "server-down", name)
    looks = Looks(aim.names, site)
    return Wound(aim.hit, heal=partial(_continue, aim.names, site), healed=looks.in_sync)


def _continue(names: Sequence[str], site: Site) -> None:
    for name in names:
        told(site, "server-up", name)
        site.endpoints.roster.of(name).signal(signal.SIGCONT)


def told(site: Site, event: str, name: str) -> None:
    """`server-down` once it is gone, `server-up` before it can be there again: between the two it cannot answer."""
    site.observer.event(event, server=name, pid=site.endpoints.roster.of(name).pid)


def rolling(fault: Fault, site: Site) -> Wound | Missed:
    """Every broker shut down in order and started again, the next one when the last is in sync."""
    aim = aimed(fault, site)
    if isinstance(aim, Missed):
        return aim
    turn = Rolling(aim.names, site)
    return Wound(aim.hit, tend=turn.tend, healed=lambda: turn.is_over)


@dataclass(slots=True)
class Gone:
    """A broker that was ended on purpose; it returns when it may and its process has ended."""

    name: str
    site: Site
    may_return: bool = False
    has_ended: bool = False
    is_back: bool = False
    since_s: float = 0.0

    def end(self, number: signal.Signals) -> None:
        """Sends it away."""
        self.since_s = time.monotonic()
        self.site.endpoints.roster.away.add(self.name)
        self.site.endpoints.roster.of(self.name).signal(number)

    def tend(self) -> None:
        """Starts it again, once it may and has ended; from the main thread."""
        roster = self.site.endpoints.roster
        process = roster.of(self.name)
        if not self.has_ended:
            self.has_ended = process.poll() is not None
            if self.has_ended:
                told(self.site, "server-down", self.name)
            elif time.monotonic() - self.since_s > SHUTDOWN_S:
                process.signal(signal.SIGKILL)
        if self.has_ended and self.may_return and not self.is_back:
            told(self.site, "server-up", self.name)
            roster.start_again(self.name)
            roster.is_back(self.name)
            self.is_back = True


@dataclass(slots=True)
class Looks:
    """Whether brokers hold every partition up to date, asked twice a second at most."""

    names: Sequence[str]
    site: Site
    asked_s: float = 0.0

    def in_sync(self) -> bool:
        """As of now; False between two looks."""
        if time.monotonic() - self.asked_s < LOOK_S:
            return False
        self.asked_s = time.monotonic()
        return are_in_sync(self.names, self.site.endpoints)


@dataclass(slots=True)
class Rolling:
    """One broker after the other: ended in order, started again, awaited."""

    names: Sequence[str]
    site: Site
    turn: int = 0
    gone: Gone | None = None
    looks: Looks = field(init=False)

    def __post_init__(self) -> None:
        self.looks = Looks(self.names, self.site)

    @property
    def is_over(self) -> bool:
        """All have had their turn."""
        return self.turn == len(self.names)

    def tend(self) -> None:
        """The next step, if it is time for it."""
        if self.is_over:
            return
        if self.gone is None:
            self.gone = Gone(self.names[self.turn], self.site, may_return=True)
            self.gone.end(signal.SIGTERM)
        self.gone.tend()
        if self.gone.is_back and self.looks.in_sync():
            self.gone = None
            self.turn += 1


HANDS: Final[Mapping[str, Hand]] = {"kill": kill, "pause": pause, "restart": restart, "rolling": rolling}
