"""A scenario is a value: what happens, which services answer, what must hold, and which wrong systems must be caught.

Scenarios are found by listing `bench/scenarios`; adding one is adding a folder whose package exports `SCENARIO`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import bench.scenarios
from loadgen.driver import Plan
from loadgen.history import History
from loadgen.operations import Describe
from loadgen.target import Target
from system.kafka.config import SESSION_TIMEOUT_MS
from system.runtime.guarantees import Guarantee, failpoints
from system.runtime.observer import Observer
from system.runtime.service import Service
from system.runtime.worker_config import WorkerConfig

if TYPE_CHECKING:
    from bench.spec import RunSpec

Services = Mapping[str, Service]
Piece = TypeVar("Piece")


def unchanged(piece: Piece) -> Piece:
    """The real one."""
    return piece


def planned(plan: Plan, _history: History) -> Plan:
    """The real plan of the load."""
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The real system, or the real harness, with one piece replaced, which a checker must catch.

    It is wrong under its `guarantee`, in what the plan `fault`, the workload `settings` and the number of `workers`
    bring about; `condition` names what must have happened for the run to say anything (none, redelivery, restart, …).
    `operations` at `rate` (a second) are enough for that, unless the caller wants more. `caught_by`: the anomaly kinds,
    one of which must be found; where the harness is what is wrong, words of the reason why the run is unknown or its
    measurement invalid. `exit_code`: what the run answers. `drain_deadline_s`: shorter than usual where the wrong
    system never finishes. `session_timeout_ms`: short, as such a run mostly waits for what has died to be missed.

    The piece: `services`, or what a `worker` is given, the `load`'s target, or the `plan` of the load.
    """

    story: str
    caught_by: Sequence[str]
    exit_code: int = 1
    guarantee: str = "idempotent"
    condition: str = "none"
    fault: str = "none"
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    operations: int = 1_000
    rate: str = "1000"
    services: Callable[[Services], Services] = unchanged
    worker: Callable[[WorkerConfig], WorkerConfig] = unchanged
    load: Callable[[Target], Target] = unchanged
    plan: Callable[[Plan, History], Plan] = planned
    drain_deadline_s: float | None = None
    session_timeout_ms: int = 2_500


REAL = Broken(
    story="nothing is replaced",
    caught_by=(),
    exit_code=0,
    operations=100_000,
    rate="2000",
    session_timeout_ms=SESSION_TIMEOUT_MS,
)
"""The system itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens and what must hold.

    `topics`: name → Kafka's topic settings; `busiest_topic`: of those that a group reads the one with the most records.
    `tables_sql`: with `${prefix}`. `client_failpoints(guarantee)`: failpoints of what the load driver runs in its own
    process, by service name. `seed_tables(spec)` fills the tables; `open_load(spec, observer, failpoint)` gives the
    driver its target; `describe(spec)` names the operations on the wire.
    """

    name: str
    story: str
    topics: Mapping[str, Mapping[str, str]]
    busiest_topic: str
    groups: Mapping[str, Sequence[str]]
    services: Services
    tables_sql: str
    knobs: Sequence[Any]
    parse_settings: Callable[[Mapping[str, str]], Any]
    guarantees: Sequence[str]
    client_failpoints: Callable[[Guarantee], Mapping[str, Sequence[str]]]
    broken: Mapping[str, Broken]
    checkers: Sequence[Any]
    seed_tables: Callable[["RunSpec"], None]
    open_load: Callable[["RunSpec", Observer, Callable[[str], None]], Target]
    describe: Callable[["RunSpec"], Describe]

    def failpoints(self, guarantee: Guarantee) -> dict[str, tuple[str, ...]]:
        """Service → where it can be made to crash under this guarantee, what the driver runs included."""
        own = {name: tuple(points) for name, points in self.client_failpoints(guarantee).items()}
        return {**dict.fromkeys(self.services, failpoints(guarantee)), **own}


@cache
def scenarios() -> dict[str, Scenario]:
    """Name → scenario, by listing the folder."""
    found = {}
    for module in pkgutil.iter_modules(bench.scenarios.__path__):
        package = importlib.import_module(f"bench.scenarios.{module.name}")
        found[package.SCENARIO.name] = package.SCENARIO
    return found
