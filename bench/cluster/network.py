"""The private network of a run: each broker and each worker in a namespace of its own on one bridge, and cuts between.

A cut is a blackhole route (ip-route(8)): in the namespace that is cut off for what it sends, in all others for what is
sent to it. Only iproute2 is needed. Everything else of the run (driver, readers, runner) stands at the bridge itself.
PostgreSQL is reached by its socket, which no route concerns.
"""

import secrets
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.cluster.errors import ServerUnavailable

BRIDGE: Final = "bridge"
PREFIX: Final = "10.199.0."
HERE: Final = f"{PREFIX}254"
HALVES: Final = (f"{PREFIX}0/25", f"{PREFIX}128/25")
"""More specific than the route to the bridge's network, and together all of it; one's own address is not concerned."""
PLACES_MAX: Final = 250


@dataclass(slots=True)
class Network:
    """`places`: name → the last number of its address. `silent`: those whose packets go nowhere; `deaf`: those whom no
    packet reaches. `tag` tells its devices from those of an earlier network, which vanish some time after it.
    """

    tag: str = field(default_factory=lambda: secrets.token_hex(3))
    places: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Makes the bridge, without what an earlier cluster of this process had. Raises `ServerUnavailable`."""
        subprocess.run(["ip", "-all", "netns", "delete"], check=False)
        if subprocess.run(["ip", "link", "show", BRIDGE], capture_output=True, check=False).returncode == 0:
            _ip([f"link del {BRIDGE}"])
        _ip(
            [
                f"link add {BRIDGE} type bridge",
                f"addr add {HERE}/24 dev {BRIDGE}",
                f"link set {BRIDGE} up",
            ]
        )

    def address(self, name: str) -> str:
        """The address of a namespace, which is made where it is not there. Raises `ServerUnavailable`."""
        if name not in self.places:
            self._add(name)
        return f"{PREFIX}{self.places[name]}"

    def enter(self, name: str) -> list[str]:
        """What a command begins with that is to run at that place."""
        self.address(name)
        return ["ip", "netns", "exec", name]

    def _add(self, name: str) -> None:
        number = len(self.places) + 1
        if number > PLACES_MAX:
            raise ServerUnavailable(f"no more than {PLACES_MAX} processes in one private network")
        inside, outside = f"i{self.tag}-{number}", f"o{self.tag}-{number}"
        _ip(
            [
                f"netns add {name}",
                f"link add {outside} type veth peer name {inside} netns {name}",
                f"link set {outside} master {BRIDGE} up",
            ]
        )
        address = f"{PREFIX}{number}/24"
        _ip([f"addr add {address} dev {inside}", f"link set {inside} up", "link set lo up"], at=name)
        self.places[name] = number
        _ip([f"route add blackhole {self.address(deaf)}/32" for deaf in sorted(self.deaf)], at=name)

    def cut(self, names: Iterable[str], *, sends: bool, hears: bool) -> None:
        """From now on nothing that they send arrives (`sends`), nothing reaches them (`hears`)."""
        for name in names:
            if sends and name not in self.silent:
                _ip([f"route add blackhole {half}" for half in HALVES], at=name)
                self.silent.add(name)
            if hears and name not in self.deaf:
                self._at_all_others(name, f"route add blackhole {self.address(name)}/32")
                self.deaf.add(name)

    def connect(self, names: Iterable[str]) -> None:
        """All packets of and to them arrive again."""
        for name in names:
            if name in self.silent:
                _ip([f"route del blackhole {half}" for half in HALVES], at=name)
                self.silent.discard(name)
            if name in self.deaf:
                self._at_all_others(name, f"route del blackhole {self.address(name)}/32")
                self.deaf.discard(name)

    def _at_all_others(self, name: str, line: str) -> None:
        _ip([line])
        for other in self.places:
            if other != name:
                _ip([line], at=other)


def begin_network() -> Network:
    """The network of a run that is inside (`bench.cluster.private`). Raises `ServerUnavailable`."""
    network = Network()
    network.begin()
    return network


def _ip(lines: Sequence[str], *, at: str | None = None) -> None:
    """Commands of `ip`, in one process. Raises `ServerUnavailable`."""
    if not lines:
        return
    argv = ["ip", *(("-n", at) if at else ()), "-batch", "-"]
    done = subprocess.run(argv, input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerUnavailable(f"the private network: {' '.join(done.stderr.split())} ({'; '.join(lines)})")
