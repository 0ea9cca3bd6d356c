"""One run, from nothing to a run folder: provision → prime → load → drain → quiesce → record. It judges nothing.

Whatever goes wrong after the load began, what was recorded is kept: `run.json` then says `incomplete` and why.
"""

import os
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from confluent_kafka import KafkaException

from bench import provision, replay, tending
from bench.cluster.endpoints import Wanted
from bench.cluster.errors import ServerUnavailable
from bench.cluster.servers import cluster
from bench.cluster.shield import shielded
from bench.cluster.wal import lay_out
from bench.cluster.writeback import written_back
from bench.display import Display
from bench.nemesis.hands import HANDS
from bench.nemesis.nemesis import Nemesis
from bench.nemesis.site import Site
from bench.process import GO, HISTORY
from bench.recording import convert, counters, environment, live, samples, tables, topics
from bench.recording.calibration import produce_batch_per_s
from bench.recording.errors import RecordingFailed
from bench.recording.fencing import fence, transactional_ids
from bench.recording.observer import FileObserver
from bench.run import Run, ServerDied, write_run
from bench.spec import RunSpec
from bench.waiting import DeadlineExceeded
from loadgen.history import open_history
from loadgen.null_sink import ceiling
from loadgen.operations import write_parquet
from system.runtime.guarantees import GUARANTEES
from system.runtime.supervisor import GaveUp

SEED_DEADLINE_S = 600.0
LIVE_STOP_DEADLINE_S = 120.0
CALIBRATION_RECORDS_MAX = 500_000
WAL_BYTES_PER_OPERATION = 1_300
"""1,100 to 1,250 were written (`checkout`, 10,000 operations a second and as fast as it goes)."""


def execute(spec: RunSpec, wanted: Wanted, *, command: str, display: Display) -> RunSpec:
    """Runs `spec` and fills its folder; the spec with the servers it ran against. Raises `ServerUnavailable`."""
    folder = spec.path
    (folder / "logs").mkdir(parents=True)
    display.phase("servers")
    with ExitStack() as stack:
        wanted = replace(wanted, optimised=spec.optimises())
        endpoints = stack.enter_context(cluster(wanted, logs=folder / "logs", say=display.say))
        connection = {**endpoints.client, "bootstrap.servers": endpoints.bootstrap}
        spec = replace(spec, connection=connection, dsn=endpoints.dsn)
        spec.save()
        run = Run(spec, command, display, FileObserver(folder, "runner", events_only=True), endpoints)
        write_run(run)
        if not endpoints.owned:
            remove = partial(provision.remove, spec.connection, spec.dsn, spec.prefix, list(spec.groups()))
            stack.callback(shielded(remove))
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
    if "postgres" in run.endpoints.pids:
        run.display.say("laying out PostgreSQL's write-ahead log")
        lay_out(spec.dsn, expected_bytes=spec.operations * WAL_BYTES_PER_OPERATION)
    provision.create_topics(spec)
    provision.create_schemas(spec)
    run.display.say(f"seeding the tables of {spec.scenario}")
    seeder = run.start("seeder", "seeder", 0)
    if seeder.wait(SEED_DEADLINE_S) != 0:
        raise ServerUnavailable(f"the tables could not be filled: {seeder.tail()}")
    tables.dump_tables(spec.dsn, spec.prefix, None, spec.path / "initial")
    broker = next((pid for name, pid in run.endpoints.pids.items() if name.startswith("broker")), None)
    version = environment.kafka_version_of(broker) if broker else None
    compiler = ("C2" if spec.optimises() else "C1") if broker else None
    run.environment = {
        **environment.environment(dsn=spec.dsn, kafka_version=version),
        "broker_compiler": compiler,
    }
    run.display.say("calibrating: what produce_batch alone reaches here")
    records = max(50_000, min(CALIBRATION_RECORDS_MAX, spec.operations))
    rate = produce_batch_per_s(spec.connection, prefix=spec.prefix, records=records, replication=spec.brokers)
    run.calibration = {"produce_batch_per_s": rate, "driver_null_sink_per_s": ceiling()}
    write_run(run)


def _under_load(run: Run) -> None:
    spec = run.spec
    with ExitStack() as stack:
        with run.phase("prime"):
            supervisor, reader = tending.primed(run, stack)
        pids = lambda: {**run.endpoints.pids, **supervisor.pids(), "live-reader": reader.pid, "runner": os.getpid()}  # noqa: E731
        sampler = stack.enter_context(
            samples.Sampler(spec.connection, spec.path, processes=pids, groups=spec.groups(), prefix=spec.prefix)
        )
        folders = [path for name, path in run.endpoints.folders.items() if name.startswith("broker")]
        written = stack.enter_context(written_back([*run.endpoints.folders.values(), spec.path / "raw"]))
        read = partial(counters.read_counters, spec.dsn, spec.prefix, folders)
        begin = read(sampler.cpu_s(), written_back_bytes=written())
        site = Site(spec, supervisor, run.endpoints, run.observer, run.start, sampler.lag)
        nemesis = Nemesis(spec.faults(), HANDS, site)
        for word, faults in spec.mixed.items():
            run.observer.event("plan-expanded", fault=word, faults=list(faults))
        stack.callback(shielded(nemesis.heal_all))
        (spec.path / GO).touch()
        tending.load(run, supervisor, nemesis, sampler.lag)
        with run.phase("quiesce"):
            tending.quiesce(run, supervisor)
            sampler.sample_offsets("quiescent")
        counters.write_counters(spec.path, begin, read(sampler.cpu_s(), written_back_bytes=written()))
        with run.phase("stop"):
            supervisor.stop()
            reader.popen.terminate()
            reader.wait(LIVE_STOP_DEADLINE_S)
    with run.phase("record"):
        _record(run)
    if spec.replay:
        with run.phase("replay"):
            replay.replay(spec, run.start, run.observer)


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
