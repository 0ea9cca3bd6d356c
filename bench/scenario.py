"""A scenario is a value: what happens, which services answer, what must hold, and which wrong systems must be caught.

Scenarios are found by listing `bench/scenarios`; adding one is adding a folder whose package exports `SCENARIO`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import bench.scenarios
from loadgen.operations import Describe
from loadgen.target import Target
from system.runtime.guarantees import Guarantee, failpoints
from system.runtime.observer import Observer
from system.runtime.service import Service

if TYPE_CHECKING:
    from bench.spec import RunSpec

Services = Mapping[str, Service]


def unchanged(services: Services) -> Services:
    """The real services."""
    return services


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The real system with one piece replaced, which a checker must catch.

    `fault` is the plan under which it is wrong, and `settings` the workload; `condition` names what must have happened
    for the run to say anything (none, redelivery, restart, contention, compensation). `caught_by`: the anomaly kinds,
    one of which must be found. `drain_deadline_s`: shorter than usual where the wrong system never finishes.
    """

    story: str
    caught_by: Sequence[str]
    condition: str = "none"
    fault: str = "none"
    settings: Mapping[str, str] = field(default_factory=dict)
    services: Callable[[Services], Services] = unchanged
    drain_deadline_s: float | None = None


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
