"""The options of `run` as they are typed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cluster.endpoints import Wanted
from bench.cluster.private import is_private
from bench.nemesis.network import needs_private_network
from bench.nemesis.plan import parse_plan
from system.runtime.failpoints import BadFaultPlan


class UsageError(ValueError):
    """An option that cannot be; one line that names what was wrong and what is legal. Exit code 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options as typed; None where the default depends on others."""

    scenario: str
    guarantee: str | None = None
    fault: str | None = None
    rate: str | None = None
    arrival: str = "poisson"
    operations: int | None = None
    duration_s: float | None = None
    warmup_s: float | None = None
    seed: int | None = None
    settings: Sequence[str] = ()
    partitions: int = 4
    brokers: int = 1
    workers: Sequence[str] = ()
    group_protocol: str = "classic"
    assignor: str | None = None
    static_members: bool = False
    broken: str | None = None
    replay: bool = False
    out: Path = Path("runs")
    bootstrap_servers: str | None = None
    client_config: Path | None = None
    dsn: str | None = None

    def needs_private_network(self) -> bool:
        """Whether its faults cut connections, between servers of our own; a plan that cannot be is refused later."""
        try:
            plan = parse_plan(self.fault or "none")
        except BadFaultPlan:
            return False
        return needs_private_network(plan) and self.bootstrap_servers is None and self.dsn is None

    def wanted(self) -> Wanted:
        """The servers to start or to reach."""
        return Wanted(
            brokers=self.brokers,
            bootstrap=self.bootstrap_servers,
            client_config=self.client_config,
            dsn=self.dsn,
            private=is_private(),
        )


def one_of(what: str, name: str, legal: Sequence[str]) -> str:
    """`name`, if it is legal."""
    if name not in legal:
        raise UsageError(f"unknown {what} {name!r}; legal: {', '.join(legal)}")
    return name


def new_folder(out: Path, slug: str) -> Path:
    """A new run folder: a counter where two runs begin in one second."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for count in range(1000):
        folder = out / (f"{stamp}-{slug}" + (f".{count}" if count else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"--out {out}: {error.strerror}; legal: a folder that can be written") from None
        return folder.absolute()
    raise UsageError(f"--out {out} has a thousand runs of this second")
