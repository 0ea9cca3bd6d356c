"""Faults that change who is a member: rolling restarts, one worker more, one less, one twice."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bench.nemesis.ownership import held_partitions, lives_of
from bench.nemesis.plan import Fault
from bench.nemesis.services import absent, described, run_again, targets
from bench.nemesis.site import Hand, Missed, Site, Wound
from bench.process import TWIN_SLOT


@dataclass(slots=True)
class _Rolling:
    """Restarts the workers one after the other: the next one goes when the one before it owns partitions again."""

    site: Site
    left: list[str]
    going: str | None = None
    lives: int = 0

    def tend(self) -> None:
        if self.going is not None and not self._is_back(self.going):
            return
        self.going = self.left.pop(0) if self.left else None
        if self.going is not None:
            self.lives = lives_of(self.site.spec, self.going)
            self.site.supervisor.end(self.going, signal.SIGTERM)
            self.site.supervisor.release(self.going)

    def _is_back(self, name: str) -> bool:
        spec = self.site.spec
        return lives_of(spec, name) > self.lives and bool(held_partitions(spec, name))

    def is_done(self) -> bool:
        return not self.left and self.going is None


def rolling(fault: Fault, site: Site) -> Wound | Missed:
    """Every worker of a service restarted with SIGTERM, one at a time."""
    names = targets(fault, site)
    if not names:
        return absent(fault)
    hit = described(names, site)
    roll = _Rolling(site, list(names))
    roll.tend()
    return Wound(hit, tend=roll.tend, healed=roll.is_done)


def out(fault: Fault, site: Site) -> Wound | Missed:
    """One more worker joins the group; it leaves it in order when this heals."""
    known = site.supervisor.names()
    name = next(f"{fault.role}-{slot}" for slot in range(TWIN_SLOT) if f"{fault.role}-{slot}" not in known)
    site.supervisor.add(name)
    return _joined(name, site)


def fewer(fault: Fault, site: Site) -> Wound | Missed:
    """The last worker of a service finishes what it has in hand and leaves; it comes back when this heals."""
    names = targets(fault, site)
    if not names:
        return absent(fault)
    hit = described(names[-1:], site)
    site.supervisor.end(names[-1], signal.SIGTERM)
    release = partial(site.supervisor.release, names[-1])
    return Wound(hit, heal=release, healed=partial(run_again, hit["pids"], site))


def twin(fault: Fault, site: Site) -> Wound | Missed:
    """A second process that takes itself for the same worker: its client id and, with transactions, its transactional
    id. Each of the two fences the other whenever it comes up.
    """
    names = targets(fault, site)
    if not names:
        return absent(fault)
    service, _, slot = names[0].rpartition("-")
    name = f"{service}-{TWIN_SLOT + int(slot)}"
    if name in site.supervisor.names():
        return Missed(f"{names[0]} has a twin already")
    site.supervisor.add(name)
    return _joined(name, site, of=names[0])


def _joined(name: str, site: Site, **hit: Any) -> Wound:  # noqa: ANN401 - JSON values
    """A member that joins on purpose. It has bitten once partitions have moved to it."""
    told = {"processes": [name], "pids": {name: site.supervisor.pids().get(name, 0)}, **hit}
    return Wound(
        told,
        heal=partial(site.supervisor.retire, name),
        healed=lambda: name not in site.supervisor.names(),
        bites=lambda: {"partitions": {name: held}} if (held := held_partitions(site.spec, name)) else None,
        counts_from_bite=True,
    )


HANDS: Final[Mapping[str, Hand]] = {"rolling": rolling, "out": out, "in": fewer, "twin": twin}
