"""Starting Kafka and PostgreSQL side by side: prepare both, launch both, wait until both serve."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.cluster import kafka, postgres
from bench.cluster.endpoints import Endpoints, Wanted, obituary
from bench.cluster.errors import ServerUnavailable
from bench.cluster.network import Network
from bench.cluster.ports import Ports
from bench.cluster.process import Process
from bench.cluster.programs import kafka_programs
from bench.cluster.ready import await_kafka, await_postgres
from bench.cluster.roster import Roster, Starts
from bench.cluster.shield import shield
from bench.waiting import DeadlineExceeded, wait_until

Say = Callable[[str], None]
"""Told what is being done, a short line each."""

TOOL_S: Final = 60.0
GRACE_S: Final = 5.0
ATTEMPTS: Final = 3
IN_USE: Final = b"Address already in use"


@dataclass(frozen=True)
class Start:
    """One start: what is wanted, where it may write, and the ports and processes that the caller puts away."""

    wanted: Wanted
    client: Mapping[str, str]
    data: Path
    logs: Path
    ports: Ports
    running: list[Process]
    say: Say
    network: Network | None = None


@dataclass(frozen=True)
class _Servers:
    """What is to be started; None where the user named one."""

    brokers: kafka.Brokers | None
    database: postgres.Database | None

    def __str__(self) -> str:
        return " and ".join(["Kafka"] * (self.brokers is not None) + ["PostgreSQL"] * (self.database is not None))


def start_servers(start: Start, *, stop: Callable[[Sequence[Process]], None]) -> Endpoints:
    """Start what is wanted; again on other ports where somebody was quicker to take one. Raises `ServerUnavailable`."""
    for attempt in range(1, ATTEMPTS):
        try:
            return _attempt(start, start.data / str(attempt))
        except ServerUnavailable:
            if not _collided(start):
                raise
            start.say("a port was taken by somebody else: again on others")
            stop(start.running)
            start.running.clear()
    return _attempt(start, start.data / str(ATTEMPTS))


def _collided(start: Start) -> bool:
    """Whether a server found a port taken that was chosen here, and not by the user."""
    chosen = start.wanted.kafka_port is None and start.wanted.postgres_port is None
    return chosen and any(IN_USE in process.log.read_bytes() for process in start.running)


def _attempt(start: Start, place: Path) -> Endpoints:
    # Another user's PostgreSQL must reach its folder in here.
    place.mkdir()
    place.chmod(0o711)
    servers = _choose(start, place)
    start.say(f"preparing {servers}")
    _prepare(servers, start.logs)
    start.say(f"starting {servers}")
    brokers, database = servers.brokers, servers.database
    if database:
        start.running.append(_start_database(start, database))
    if brokers:
        # `extend` takes them one by one, so an interruption finds each that was started in the list.
        start.running.extend(brokers.start(start.logs))
    if database:
        await_postgres(database.dsn, start.running)
    if brokers:
        await_kafka(brokers.bootstrap, [each for each in start.running if each.name != postgres.NAME])
    return _endpoints(start, servers)


def _choose(start: Start, place: Path) -> _Servers:
    """Programs, ports and folders of the servers that are not named."""
    wanted, brokers, database = start.wanted, None, None
    if wanted.bootstrap is None:
        programs = kafka_programs()
        nodes = kafka.choose_nodes(wanted.brokers, wanted.kafka_port, start.ports, place, network=start.network)
        brokers = kafka.Brokers(nodes, programs, optimised=wanted.optimised)
    if wanted.dsn is None and wanted.database:
        named = wanted.postgres_port
        port = start.ports.free(1)[0] if named is None else start.ports.named(named, server="PostgreSQL")
        database = postgres.prepare(place / postgres.NAME, port)
    return _Servers(brokers, database)


def _prepare(servers: _Servers, logs: Path) -> None:
    """Format every node and make the database's files, all at once."""
    tools: list[Process] = []
    try:
        if servers.database:
            tools.append(postgres.start_initdb(servers.database, logs=logs))
        if servers.brokers:
            tools.extend(servers.brokers.start_formats(logs))
        wait_until(lambda: _all_done(tools), deadline_s=TOOL_S, why="the servers' folders to be prepared", poll_s=0.01)
    except DeadlineExceeded as error:
        raise ServerUnavailable(str(error)) from error
    finally:
        with shield():
            for tool in tools:
                tool.stop(GRACE_S)


def _all_done(tools: Iterable[Process]) -> bool:
    codes = [(tool, tool.poll()) for tool in tools]
    for tool, code in codes:
        if code:
            raise ServerUnavailable(obituary(tool))
    return all(code == 0 for _, code in codes)


def _endpoints(start: Start, servers: _Servers) -> Endpoints:
    brokers, database = servers.brokers, servers.database
    folders = {node.name: node.data for node in brokers.nodes} if brokers else {}
    if database:
        folders[postgres.NAME] = database.data
    return Endpoints(
        bootstrap=brokers.bootstrap if brokers else start.wanted.bootstrap or "",
        client=start.client,
        dsn=database.dsn if database else start.wanted.dsn or "",
        roster=Roster(start.running, _starts(start, servers)),
        folders=folders,
        owned=bool(brokers and (database or not start.wanted.database)),
        network=start.network,
    )


def _starts(start: Start, servers: _Servers) -> Starts:
    """How each server is started anew after a fault has ended it."""
    starts = {}
    if servers.database:
        starts[postgres.NAME] = partial(_start_database, start, servers.database)
    if servers.brokers:
        starts.update(
            {node.name: partial(servers.brokers.start_node, node, start.logs) for node in servers.brokers.nodes}
        )
    return starts


def _start_database(start: Start, database: postgres.Database) -> Process:
    idle_ms = start.wanted.idle_in_transaction_ms
    return postgres.start_server(database, idle_in_transaction_ms=idle_ms, logs=start.logs)
