"""One run, from nothing to a run folder: provision → prime → load → drain → quiesce → record. It judges nothing.

Whatever goes wrong after the load began, what was recorded is kept: `run.json` then says `incomplete` and why.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from confluent_kafka import KafkaException

from bench import provision, replay
from bench.cluster.endpoints import Endpoints, Wanted
from bench.cluster.errors import ServerUnavailable
from bench.cluster.process import Process, start
from bench.cluster.servers import cluster
from bench.display import Display
from bench.nemesis.hands import HANDS
from bench.nemesis.nemesis import Nemesis
from bench.nemesis.site import Site
from bench.process import GO, HISTORY, READY, role_of
from bench.recording import convert, counters, environment, live, samples, tables, topics
from bench.recording.calibration import produce_batch_per_s
from bench.recording.errors import RecordingFailed
from bench.recording.fencing import fence, transactional_ids
from bench.recording.observer import FileObserver
from bench.recording.quiescence import await_quiescence
from bench.spec import RunSpec, knobs
from bench.waiting import DeadlineExceeded, wait_until
from loadgen.history import open_history, read_progress
from loadgen.null_sink import ceiling
from loadgen.operations import write_parquet
from system.runtime.guarantees import GUARANTEES
from system.runtime.supervisor import GaveUp, Supervisor

SCHEMA_VERSION = 1
SEED_DEADLINE_S = 600.0
READY_DEADLINE_S = 300.0
LIVE_STOP_DEADLINE_S = 120.0
STALL_DEADLINE_S = 180.0
CALIBRATION_RECORDS_MAX = 500_000


class ServerDied(Exception):
    """A server that the run had started is gone; what was recorded until then is kept."""


@dataclass(slots=True)
class Run:
    """A run while it goes on."""

    spec: RunSpec
    command: str
    display: Display
    observer: FileObserver
    endpoints: Endpoints
    phases: list[dict[str, Any]] = field(default_factory=list)
    calibration: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    incomplete: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A named stretch of the run, in `run.json` and on the terminal."""
        self.display.phase(name)
        began = time.monotonic_ns()
        try:
            yield
        finally:
            self.phases.append({"name": name, "begin": began, "end": time.monotonic_ns()})

    def start(self, role: str, name: str, life: int) -> Process:
        """A process of the run, which ends with the runner whatever happens."""
        argv = [sys.executable, "-m", "bench.process", role, str(self.spec.path), name, str(life)]
        network = self.endpoints.network
        if network is not None and role == "worker":
            argv = [*network.enter(name), *argv]
        return start(argv, name=name, log=self.spec.path / "logs" / f"{name}.log", env=_environment())

    def alive(self) -> None:
        """Raises `ServerDied` when a server of ours is gone."""
        dead = self.endpoints.dead()
        if dead:
            raise ServerDied("; ".join(dead))


def _environment() -> dict[str, str]:
    # Threads of numeric libraries would compete with the system under test for its two cores.
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def execute(spec: RunSpec, wanted: Wanted, *, command: str, display: Display) -> RunSpec:
    """Runs `spec` and fills its folder; the spec with the servers it ran against. Raises `ServerUnavailable`."""
    folder = spec.path
    (folder / "logs").mkdir(parents=True)
    display.phase("servers")
    with ExitStack() as stack:
        endpoints = stack.enter_context(cluster(wanted, logs=folder / "logs", say=display.say))
        connection = {**endpoints.client, "bootstrap.servers": endpoints.bootstrap}
        spec = replace(spec, connection=connection, dsn=endpoints.dsn)
        spec.save()
        run = Run(spec, command, display, FileObserver(folder, "runner", events_only=True), endpoints)
        write_run(run)
        if not endpoints.owned:
            stack.callback(provision.remove, spec.connection, spec.dsn, spec.prefix, list(spec.groups()))
        _go_through(run)
    return spec


def _go_through(run: Run) -> None:
    with run.phase("provision"):
        _provision(run)
    try:
        _under_load(run)
    except (ServerDied, GaveUp, RecordingFailed, DeadlineExceeded, KafkaException) as error:
        run.incomplete = str(error)
        run.display.say(f"incomplete: {error}")
        run.observer.event("run-incomplete", reason=str(error))
    finally:
        with run.phase("record"):
            _convert(run)
        write_run(run)


def _provision(run: Run) -> None:
    spec = run.spec
    provision.create_topics(spec)
    provision.create_schemas(spec)
    run.display.say(f"seeding the tables of {spec.scenario}")
    seeder = run.start("seeder", "seeder", 0)
    if seeder.wait(SEED_DEADLINE_S) != 0:
        raise ServerUnavailable(f"the tables could not be filled: {seeder.tail()}")
    tables.dump_tables(spec.dsn, spec.prefix, None, spec.path / "initial")
    broker = next((pid for name, pid in run.endpoints.pids.items() if name.startswith("broker")), None)
    version = environment.kafka_version_of(broker) if broker else None
    run.environment = environment.environment(dsn=spec.dsn, kafka_version=version)
    run.display.say("calibrating: what produce_batch alone reaches here")
    records = max(50_000, min(CALIBRATION_RECORDS_MAX, spec.operations))
    rate = produce_batch_per_s(spec.connection, prefix=spec.prefix, records=records, replication=spec.brokers)
    run.calibration = {"produce_batch_per_s": rate, "driver_null_sink_per_s": ceiling()}
    write_run(run)


def _under_load(run: Run) -> None:
    spec = run.spec
    with ExitStack() as stack:
        with run.phase("prime"):
            supervisor, reader = _primed(run, stack)
        pids = lambda: {**run.endpoints.pids, **supervisor.pids(), "live-reader": reader.pid, "runner": os.getpid()}  # noqa: E731
        sampler = stack.enter_context(
            samples.Sampler(spec.connection, spec.path, processes=pids, groups=spec.groups(), prefix=spec.prefix)
        )
        folders = [path for name, path in run.endpoints.folders.items() if name.startswith("broker")]
        begin = counters.read_counters(spec.dsn, spec.prefix, folders, sampler.cpu_s())
        site = Site(spec, supervisor, run.endpoints, run.observer, run.start, sampler.lag)
        nemesis = Nemesis(spec.faults(), HANDS, site)
        for word, faults in spec.mixed.items():
            run.observer.event("plan-expanded", fault=word, faults=list(faults))
        stack.callback(nemesis.heal_all)
        (spec.path / GO).touch()
        _load(run, supervisor, nemesis, sampler.lag)
        with run.phase("quiesce"):
            _quiesce(run, supervisor)
            sampler.sample_offsets("quiescent")
        counters.write_counters(
            spec.path, begin, counters.read_counters(spec.dsn, spec.prefix, folders, sampler.cpu_s())
        )
        with run.phase("stop"):
            supervisor.stop()
            reader.popen.terminate()
            reader.wait(LIVE_STOP_DEADLINE_S)
    with run.phase("record"):
        _record(run)
    if spec.replay:
        with run.phase("replay"):
            replay.replay(spec, run.start, run.observer)


def _primed(run: Run, stack: ExitStack) -> tuple[Supervisor, Process]:
    spec = run.spec
    reader = run.start("live-reader", "live-reader", 0)
    stack.callback(reader.kill)
    names = [*spec.worker_names(), "driver"]
    supervisor = Supervisor(names, lambda name, life: run.start(role_of(name), name, life), run.observer)
    stack.callback(supervisor.stop)
    run.observer.event("process-started", process="live-reader", pid=reader.pid, life=0)

    def tend() -> None:
        supervisor.tend()
        run.alive()

    def ready() -> bool:
        tend()
        return (spec.path / READY).exists()

    wait_until(ready, deadline_s=READY_DEADLINE_S, why="the driver to be ready", poll_s=0.1)
    provision.await_owned(spec, tend)
    return supervisor, reader


def _load(run: Run, supervisor: Supervisor, nemesis: Nemesis, lag: Callable[[], dict[str, int]]) -> None:
    """Tends the processes until the driver has ended and what was struck has recovered; a load that stands still too
    long is given up, not waited for.
    """
    history = open_history(run.spec.path / HISTORY)
    moved = (0, time.monotonic())
    while not (supervisor.is_done("driver") and nemesis.is_at_peace):
        supervisor.tend()
        run.alive()
        progress = read_progress(history)
        if supervisor.is_done("driver"):
            nemesis.load_ended()
        nemesis.tend(progress.measure_began_ns)
        if progress.finished + progress.sent != moved[0] or not nemesis.is_at_peace:
            moved = (progress.finished + progress.sent, time.monotonic())
        elif time.monotonic() - moved[1] > STALL_DEADLINE_S:
            raise DeadlineExceeded(f"no operation was sent or finished for {STALL_DEADLINE_S:g} s")
        run.display.progress(progress, run.spec, lag())
        _pause(supervisor)
    nemesis.load_ended()
    progress = read_progress(history)
    names = ("warm-up", "measure", "drain")
    bounds = (progress.warmup_began_ns, progress.measure_began_ns, progress.drain_began_ns, progress.ended_ns)
    for name, begin, end in zip(names, bounds, bounds[1:], strict=False):
        if begin and end:
            run.phases.append({"name": name, "begin": begin, "end": end})


def _pause(supervisor: Supervisor) -> None:
    """A tenth of a second, or until the driver ends."""
    began = time.monotonic()
    wait_until(
        lambda: supervisor.is_done("driver") or time.monotonic() - began > 0.1,
        deadline_s=5,
        why="the next look",
        poll_s=0.05,
    )


def _quiesce(run: Run, supervisor: Supervisor) -> None:
    """Waits until nothing visible is left to read. A system that does not get there is judged for it, not waited
    for.
    """

    def tend() -> None:
        supervisor.tend()
        run.alive()

    try:
        tend()
        spec = run.spec
        deadline_s = spec.drain_deadline_s
        await_quiescence(spec.connection, spec.groups(), deadline_s=deadline_s, also=spec.nothing_to_relay)
    except DeadlineExceeded as error:
        run.observer.event("quiescence-missed", reason=str(error))
        run.display.say(f"not quiescent: {error}")


def _record(run: Run) -> None:
    spec = run.spec
    if GUARANTEES[spec.guarantee].transactions:
        fenced = fence(transactional_ids(spec.path, prefix=spec.prefix), spec.connection, spec.topics())
        held = [{"topic": end.topic, "partition": end.partition, "stable": end.stable} for end in fenced.held]
        run.observer.event("transactions-fenced", transactional_ids=list(fenced.transactional_ids), held=held)
    run.display.say("dumping topics and tables")
    topics.dump_ends(spec.connection, spec.topics(), spec.path / "ends.parquet")
    topics.dump_topics(spec.connection, spec.topics(), spec.path / "topics")
    tables.dump_tables(spec.dsn, spec.prefix, None, spec.path / "tables")


def _convert(run: Run) -> None:
    """Raw files → the run folder's own, from what there is."""
    spec = run.spec
    convert.convert(spec.path)
    live.convert_live(spec.path, spec.topics())
    samples.convert_samples(spec.path)
    if (spec.path / HISTORY / "history.json").exists():
        describe = spec.described().describe(spec)
        write_parquet(open_history(spec.path / HISTORY), spec.path / "operations.parquet", describe=describe)


def write_run(run: Run) -> None:
    """`run.json`, whole or not at all."""
    spec = run.spec
    checkout = environment.checkout()
    scenario = spec.described()
    content = {
        "schema_version": SCHEMA_VERSION,
        "run_id": spec.path.name,
        "scenario": spec.scenario,
        "guarantee": spec.guarantee,
        "fault": spec.fault,
        "broken": spec.broken,
        "condition": scenario.broken[spec.broken].condition if spec.broken else "none",
        "seed": spec.seed,
        "prefix": spec.prefix,
        "command": run.command,
        "knobs": knobs(spec),
        "environment": run.environment,
        "commit": checkout.commit,
        "dirty": checkout.dirty,
        "phases": run.phases,
        "calibration": run.calibration,
    }
    if run.incomplete is not None:
        content["incomplete"] = run.incomplete
    partial = spec.path / "run.json.partial"
    partial.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    partial.replace(spec.path / "run.json")
