"""What runs Kafka: the first Java that can, Kafka's jars, and what a virtual machine has learned at an earlier start.

Half of a broker's start is loading and linking classes. From Java 25 on a virtual machine can write down what it loaded
and linked, an ahead-of-time cache (JEP 483, JEP 514), which the next ones map. The first start of a user learns it from
a broker that serves for a moment; every later one, of the formatting tool too, takes a second and a half of CPU less.
"""

import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.cluster.cache import cache_folder, file_lock
from bench.cluster.endpoints import obituary
from bench.cluster.errors import ServerUnavailable
from bench.cluster.folder import workspace
from bench.cluster.jars import kafka_jars
from bench.cluster.java import find_java
from bench.cluster.kafka import COLLECTOR, ENVIRONMENT, Brokers, Programs, choose_nodes
from bench.cluster.ports import Ports
from bench.cluster.process import Process, start
from bench.cluster.ready import await_kafka
from bench.cluster.shield import shield
from bench.waiting import DeadlineExceeded

LEARNS: Final = 25
"""The first Java whose cache holds enough to be worth its seconds."""

STEP_S: Final = 60.0

QUIET: Final = "-Xlog:aot*=error"
"""A cache that does not fit is not used; what it says of single stubs would only alarm."""


def kafka_programs() -> Programs:
    """Everything that a start needs, fetched and learned where it is missing. Raises `ServerUnavailable`.

    Call it in the main thread. Where nothing can be learned servers start as slowly as they would without.
    """
    java, jars = find_java(), tuple(kafka_jars(cache_folder()))
    programs = Programs(java.program, jars)
    if java.major < LEARNS:
        return programs
    learned = jars[0].parent / f"java-{java.version}.aot"
    try:
        if not learned.exists():
            _learn_once(programs, learned)
    except (ServerUnavailable, OSError) as error:
        print(f"brokers will start slowly: {error}", file=sys.stderr)
        return programs
    return replace(programs, flags=(f"-XX:AOTCache={learned}", QUIET))


def _learn_once(programs: Programs, learned: Path) -> None:
    part = learned.with_suffix(".part")
    with file_lock(learned.with_name("lock")):
        # Another process may have learned it while this one waited for the lock.
        if not learned.exists():
            try:
                _learn(programs, part)
                os.replace(part, learned)
            finally:
                part.unlink(missing_ok=True)


def _learn(programs: Programs, part: Path) -> None:
    """Starts and stops a broker that notes what it uses, then has the notes turned into the cache `part`."""
    print("Apache Kafka: learning to start quickly (once, about ten seconds)", file=sys.stderr)
    with workspace() as data, closing(Ports()) as ports:
        notes = data / "notes"
        (node,) = choose_nodes(1, None, ports, data)
        for tool in Brokers((node,), programs).start_formats(data):
            _finish(tool)
        noting = replace(programs, flags=("-XX:AOTMode=record", f"-XX:AOTConfiguration={notes}", QUIET))
        _serve_once(Brokers((node,), noting), data)
        making = (COLLECTOR, "-XX:AOTMode=create", f"-XX:AOTConfiguration={notes}", f"-XX:AOTCache={part}", QUIET)
        _finish(start(programs.argv(*making), name="learning of java", log=data / "java.log", env=ENVIRONMENT))


def _serve_once(brokers: Brokers, logs: Path) -> None:
    broker = brokers.start_node(brokers.nodes[0], logs)
    try:
        await_kafka(brokers.bootstrap, [broker])
        with shield():
            broker.stop(STEP_S)
    finally:
        with shield():
            broker.kill()


def _finish(tool: Process) -> None:
    try:
        code = tool.wait(STEP_S)
    except DeadlineExceeded as error:
        raise ServerUnavailable(str(error)) from error
    finally:
        with shield():
            tool.kill()
    if code != 0:
        raise ServerUnavailable(obituary(tool))
