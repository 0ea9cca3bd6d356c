"""Every kind of fault: whom it may strike, how long it lasts unless the plan says so, and what it does. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SERVICES, BROKERS, NETWORK, POSTGRES = "services", "brokers", "network", "postgres"
FAMILIES: Final = (SERVICES, BROKERS, NETWORK, POSTGRES)

OWNER: Final = "owner"
"""The worker that owns partition 0 of the scenario's busiest topic when the fault strikes."""
DRIVER: Final = "driver"
DATABASE: Final = "postgres"
CLUSTER: Final = "brokers"
"""All nodes, one after the other."""
MAJORITY: Final = "majority"
FOUND: Final = ("leader", "controller", "group-coordinator", "transaction-coordinator")
"""Brokers by what they are when the fault strikes."""

SERVICE, WORKER, BROKER = "SERVICE", "WORKER", "broker-N"
"""Placeholders in `Kind.roles`: a service's name, a worker's (`pay-1`), a broker's."""

_NODES: Final = (BROKER, *FOUND)
_WORKERS: Final = (SERVICE, WORKER, OWNER)


@dataclass(frozen=True, slots=True)
class Kind:
    """One verb of one family. `heals_s`: how long it lasts where the plan names no time. `settles_s`: about how long
    its victims then need until all is as it was; a mix leaves them that time.
    """

    roles: tuple[str, ...]
    heals_s: float
    story: str
    settles_s: float = 3


KINDS: Final[Mapping[str, Mapping[str, Kind]]] = {
    SERVICES: {
        "kill": Kind((*_WORKERS, DRIVER), 0, "SIGKILL; started again when it heals"),
        "pause": Kind((*_WORKERS, DRIVER), 8, "SIGSTOP, then SIGCONT: a zombie wakes up after its partitions moved"),
        "restart": Kind(_WORKERS, 0, "SIGTERM; started again when it heals"),
        "rolling": Kind((SERVICE,), 0, "all workers of the service restarted, one after the other", 12),
        "out": Kind((SERVICE,), 5, "one more worker of the service for the duration"),
        "in": Kind((SERVICE,), 5, "one worker of the service less for the duration"),
        "slow": Kind(_WORKERS, 5, "its process is stopped three quarters of the time"),
        "twin": Kind((SERVICE, WORKER, OWNER), 3, "a second process with the same client and transactional id"),
        "poison": Kind((SERVICE,), 0, "records that do not decode into the service's topics"),
    },
    BROKERS: {
        "kill": Kind((*_NODES, MAJORITY), 5, "SIGKILL; started again when it heals", 12),
        "pause": Kind((*_NODES, MAJORITY), 5, "SIGSTOP, then SIGCONT", 12),
        "restart": Kind(_NODES, 0, "a controlled shutdown; started again when it heals", 12),
        "rolling": Kind((CLUSTER,), 0, "every broker restarted, one after the other", 36),
    },
    NETWORK: {
        "cut": Kind((*_NODES, MAJORITY, SERVICE, WORKER), 5, "no packet either way"),
        "cut-from": Kind((*_NODES, SERVICE, WORKER), 5, "nothing that it sends arrives"),
        "cut-to": Kind((*_NODES, SERVICE, WORKER), 5, "nothing reaches it"),
        "flap": Kind((*_NODES, SERVICE, WORKER), 5, "cut and connected again, once a second"),
    },
    POSTGRES: {
        "kill": Kind((DATABASE,), 1, "immediate shutdown; started again, with crash recovery, when it heals"),
        "pause": Kind((DATABASE,), 4, "all of its processes SIGSTOP, then SIGCONT"),
        "disconnect": Kind((DATABASE,), 1, "each client's connection terminated once, in mid-transaction"),
        "slow": Kind((DATABASE,), 5, "every commit waits a tenth of a second before its flush"),
        "rewind": Kind((DATABASE,), 2, "the tables put back, when it heals, to what they were when it began"),
    },
}


def family_of(kind: str, role: str) -> str:
    """The family that a verb belongs to, told by the verb and by whom it strikes."""
    if kind in KINDS[NETWORK]:
        return NETWORK
    if role == DATABASE:
        return POSTGRES
    return BROKERS if role in (*FOUND, MAJORITY, CLUSTER) or role.startswith("broker-") else SERVICES
