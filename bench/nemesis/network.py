"""Faults of the network: brokers and workers cut off, both ways, one way, again and again.

Whether a cut bites is tried from where it was made: a process at that place can reach no broker that it should reach.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bench.cluster.network import Network
from bench.cluster.private import refusal
from bench.cluster.process import Process, start
from bench.nemesis.brokers import Aim, Looks, aimed, told
from bench.nemesis.kinds import NETWORK
from bench.nemesis.plan import ALL, Fault, Plan
from bench.nemesis.roles import BROKER, addresses, up
from bench.nemesis.services import described, targets
from bench.nemesis.site import Hand, Missed, Site, Wound

CONNECT_S: Final = 0.5
CONNECT: Final = f"""\
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout={CONNECT_S})
"""
FLAP_S: Final = 1.0
"""A flapping place is cut off so long, then connected so long."""


def needs_private_network(plan: Plan) -> bool:
    """Whether a run with this plan has to be in a network of its own."""
    return any(fault.family == NETWORK for fault in plan.faults) or any(
        mix.family in (NETWORK, ALL) for mix in plan.mixes
    )


def cut(fault: Fault, site: Site) -> Wound | Missed:
    """Nothing that it sends arrives, and nothing reaches it."""
    return _cut(fault, site, sends=True, hears=True)


def cut_from(fault: Fault, site: Site) -> Wound | Missed:
    """Nothing that it sends arrives."""
    return _cut(fault, site, sends=True, hears=False)


def cut_to(fault: Fault, site: Site) -> Wound | Missed:
    """Nothing reaches it."""
    return _cut(fault, site, sends=False, hears=True)


def _cut(fault: Fault, site: Site, *, sends: bool, hears: bool) -> Wound | Missed:
    found = _found(fault, site)
    if isinstance(found, Missed):
        return found
    network, aim = found
    off = Off(aim.names, network, site, sends=sends, hears=hears)
    off.cut()
    return Wound(aim.hit, heal=off.connect, healed=off.is_back, bites=off.bites)


def flap(fault: Fault, site: Site) -> Wound | Missed:
    """Cut off both ways and connected again, in turn."""
    found = _found(fault, site)
    if isinstance(found, Missed):
        return found
    network, aim = found
    off = Off(aim.names, network, site, sends=True, hears=True)
    off.cut()
    return Wound(aim.hit, heal=off.connect, healed=off.is_back, bites=off.bites, tend=partial(_turn, off))


def _turn(off: "Off") -> None:
    if not off.is_over and time.monotonic() - off.since_s >= FLAP_S:
        off.reconnect() if off.is_off else off.cut()


def _found(fault: Fault, site: Site) -> tuple[Network, Aim] | Missed:
    """The network, and whom the fault cuts off in it."""
    network = site.endpoints.network
    if network is None:
        return Missed(refusal() or "the run is in no private network")
    workers = targets(fault, site)
    aim = Aim(workers, described(workers, site)) if workers else aimed(fault, site)
    return aim if isinstance(aim, Missed) else (network, aim)


@dataclass(slots=True)
class Off:
    """Places that are cut off, or were."""

    names: Sequence[str]
    network: Network
    site: Site
    sends: bool
    hears: bool
    is_off: bool = False
    is_over: bool = False
    since_s: float = 0.0
    probe: Process | None = None
    looks: Looks = field(init=False)

    def __post_init__(self) -> None:
        self.looks = Looks(self.names, self.site)

    def cut(self) -> None:
        """Cuts them off, and begins to try whether it bites."""
        self.network.cut(self.names, sends=self.sends, hears=self.hears)
        self.is_off, self.since_s = True, time.monotonic()
        self._tell("server-down")
        self.probe = self._ask()

    def reconnect(self) -> None:
        """Connects them again."""
        self._tell("server-up")
        self.network.connect(self.names)
        self.is_off, self.since_s = False, time.monotonic()

    def connect(self) -> None:
        """Connects them for good."""
        self.is_over = True
        if self.is_off:
            self.reconnect()
        self.probe = None

    def bites(self) -> Mapping[str, object] | None:
        """What the place itself says of its connections, once it has been seen to have none."""
        if self.probe is None or self.probe.poll() in (None, 0):
            return None
        return {"unreachable_from": self.names[0]}

    def is_back(self) -> bool:
        """A broker holds all partitions up to date again; a worker reaches a broker."""
        if self.names[0].startswith(BROKER):
            return self.looks.in_sync()
        self.probe = self.probe or self._ask()
        code = None if self.probe is None else self.probe.poll()
        if code:
            self.probe = None
        return code == 0

    def _tell(self, event: str) -> None:
        """A broker that is cut off both ways might as well not be there."""
        if self.sends and self.hears and self.names[0].startswith(BROKER):
            for name in self.names:
                told(self.site, event, name)

    def _ask(self) -> Process | None:
        """A process at the first place that connects to a broker which is not cut off, and ends with 1 if it cannot."""
        others = [name for name in up(self.site.endpoints) if name not in self.names]
        if not others:
            return None
        place = addresses(self.site.endpoints)[others[0]]
        argv = [sys.executable, "-I", "-S", "-c", CONNECT, place.host, str(place.port)]
        name = f"probe-{self.names[0]}"
        log = self.site.spec.path / "logs" / f"{name}.log"
        return start([*self.network.enter(self.names[0]), *argv], name=name, log=log)


HANDS: Final[Mapping[str, Hand]] = {"cut": cut, "cut-from": cut_from, "cut-to": cut_to, "flap": flap}
