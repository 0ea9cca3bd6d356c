"""A run, resolved: every knob with its value, frozen, handed to each process of the run and written into `run.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.nemesis.plan import Fault, parse_plan
from bench.recording.quiescence import outboxes_are_empty
from bench.scenario import REAL, Broken, Scenario, Services, scenarios
from system.kafka.config import Value, heartbeat_interval_ms
from system.kafka.kernel import kernel_kind
from system.runtime.failpoints import Crash
from system.runtime.guarantees import GUARANTEES

SPEC_FILE = "raw/spec.json"
DRAIN_DEADLINE_S = 60.0
OPTIMISED_WARM_UP_S = 45.0
"""Java's optimising compiler is done with a broker after about half a minute under load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What is run. `rate_per_s` None: closed loop at full speed. `operations` counts the warm-up's too. `mixed`: a mix,
    as the plan has it → the faults that it stands for.
    """

    scenario: str
    guarantee: str
    fault: str
    broken: str | None
    seed: int
    prefix: str
    folder: str
    operations: int
    warm_up: int
    rate_per_s: float | None
    arrival: str
    settings: Mapping[str, str]
    partitions: int
    brokers: int
    workers: Mapping[str, int]
    replay: bool
    session_timeout_ms: int
    group_protocol: str
    assignor: str
    static_members: bool
    drain_deadline_s: float
    window: int
    mixed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    connection: Mapping[str, Value] = field(default_factory=dict)
    dsn: str = ""

    @property
    def path(self) -> Path:
        """The run folder."""
        return Path(self.folder)

    def described(self) -> Scenario:
        """The scenario itself."""
        return scenarios()[self.scenario]

    def services(self) -> Services:
        """The services that run: the real ones, or the wrong system's."""
        return self.wrong().services(self.described().services)

    def wrong(self) -> Broken:
        """The wrong system that runs; of the real one every piece is as it is."""
        return self.described().broken[self.broken] if self.broken else REAL

    def crash_of(self, service: str, *, slot: int, life: int) -> tuple[Crash, ...]:
        """The crash armed in this life of a process: a service's crashes strike one a life, in slot 0."""
        crashes = [crash for crash in parse_plan(self.fault).crashes if crash.service == service]
        return tuple(crashes[life : life + 1]) if slot == 0 else ()

    def faults(self) -> tuple[Fault, ...]:
        """Every fault of the plan, those of its mixes included."""
        drawn = [fault for words in self.mixed.values() for fault in parse_plan("+".join(words)).faults]
        return (*parse_plan(self.fault).faults, *drawn)

    def optimises(self) -> bool:
        """Whether the warm-up is long enough for the brokers' optimising compiler, and no fault may start one anew."""
        if self.rate_per_s is None or self.faults():
            return False
        return self.warm_up / self.rate_per_s >= OPTIMISED_WARM_UP_S

    def nothing_to_relay(self) -> bool:
        """Whether every outbox is empty, under a guarantee that has them. Raises `RecordingFailed`."""
        return not GUARANTEES[self.guarantee].outbox or outboxes_are_empty(self.dsn, self.prefix)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Full group name → full topic names."""
        groups = self.described().groups
        return {self.prefix + group: tuple(self.prefix + topic for topic in topics) for group, topics in groups.items()}

    def topics(self) -> list[str]:
        """Full names of all topics."""
        return [self.prefix + topic for topic in self.described().topics]

    def worker_names(self) -> list[str]:
        """`pay-0`, `pay-1`, …: one process each."""
        return [f"{service}-{slot}" for service, count in self.workers.items() for slot in range(count)]

    def save(self) -> None:
        """Writes it where the run's processes find it."""
        (self.path / "raw").mkdir(exist_ok=True)
        (self.path / SPEC_FILE).write_bytes(orjson.dumps(asdict(self)))


def load_spec(folder: Path) -> RunSpec:
    """The run of a folder, in one of its processes."""
    return RunSpec(**orjson.loads((folder / SPEC_FILE).read_bytes()))


def knobs(spec: RunSpec) -> dict[str, dict[str, Any]]:
    """`run.json`'s knobs: name → value and unit; the scenario's own included."""
    own: dict[str, tuple[Any, str | None]] = {
        "operations": (spec.operations, "operations"),
        "warm_up": (spec.warm_up, "operations"),
        "rate_per_s": (spec.rate_per_s, "operations/s"),
        "arrival": ("max" if spec.rate_per_s is None else spec.arrival, None),
        "window": (spec.window, "operations"),
        "partitions": (spec.partitions, "partitions"),
        "brokers": (spec.brokers, "brokers"),
        "replication": (spec.brokers, "replicas"),
        "session_timeout_ms": (spec.session_timeout_ms, "ms"),
        "drain_deadline_s": (spec.drain_deadline_s, "s"),
        "replay": (spec.replay, None),
        "acks": ("all", None),
        "enable_idempotence": (True, None),
        "isolation_level": ("read_committed", None),
        "compression": ("none", None),
        "client_kernel": (kernel_kind(), None),
        "group_protocol": (spec.group_protocol, None),
        "assignor": (spec.assignor, None),
        "static_members": (spec.static_members, None),
        "heartbeat_interval_ms": (heartbeat_interval_ms(spec.session_timeout_ms), "ms"),
        **{f"workers_{service}": (count, "processes") for service, count in spec.workers.items()},
    }
    scenario = spec.described()
    values = scenario.parse_settings(spec.settings)
    own.update({knob.name: (getattr(values, knob.name), knob.unit) for knob in scenario.knobs})
    return {name: {"value": value, "unit": unit} for name, (value, unit) in own.items()}
