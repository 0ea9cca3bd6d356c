"""Apache Kafka brokers in KRaft mode: one or three nodes that are broker and controller at once.

The settings are those of a small but honest cluster: three copies and two in sync where there are three nodes, nothing
created by accident, nothing deleted while a run looks at it. The coordinators' own topics are small (their partitions
are loaded at every start), and the floors of session timeouts are low, so that a test may choose a short one.
"""

import dataclasses
import signal
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cluster.network import Network
from bench.cluster.ports import HOST, Ports
from bench.cluster.process import Process, start
from system.kafka.config import SESSION_TIMEOUT_MS, heartbeat_interval_ms

COORDINATOR_PARTITIONS: Final = 4
HEAP_MIB: Final = {1: 1024, 3: 512}
BROKER_COUNTS: Final = tuple(HEAP_MIB)

COLLECTOR: Final = "-XX:+UseG1GC"
"""What Java has learned at an earlier start fits the collector that it learned it with."""

QUICK_COMPILER: Final = "-XX:TieredStopAtLevel=1"
"""C1 alone is warm after seconds. The optimising compiler takes 6 s of CPU within the first half minute under load, on
two cores a tenth of everything, and then saves a third of the broker's own.
"""

ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
"""The brokers' whole environment: KAFKA_* and JAVA_TOOL_OPTIONS of the user's shell would change what is measured."""

LOGGING: Final = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c{1})%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
logger.config.name = org.apache.kafka.common.config
logger.config.level = warn
"""


@dataclass(frozen=True)
class Node:
    """One broker-controller: `number` from 1, its two ports, the folder of all its files, and where it listens.
    `entry`: what its command begins with, in a private network.
    """

    number: int
    port: int
    controller_port: int
    folder: Path
    host: str = HOST
    entry: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"broker-{self.number}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def logging(self) -> Path:
        return self.folder / "log4j2.properties"


def settings(node: Node, nodes: Sequence[Node]) -> dict[str, str]:
    """A node's `server.properties`: Kafka's own names and values."""
    copies = str(len(nodes))
    in_sync = "2" if len(nodes) > 1 else "1"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(f"{each.number}@{each.host}:{each.controller_port}" for each in nodes),
        "listeners": f"PLAINTEXT://{node.host}:{node.port},CONTROLLER://{node.host}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.host}:{node.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(node.data),
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        # A request costs more than its records; more threads than cores only add switches between them.
        "num.io.threads": "1",
        "num.network.threads": "1",
        "log.retention.ms": "-1",
        # What is deleted is gone within a second, and not on the disk after a minute, in the middle of a load: the
        # calibration's 170 MB are never written. The first look would come after 30 s.
        "log.segment.delete.delay.ms": "500",
        "log.initial.task.delay.ms": "500",
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": str(COORDINATOR_PARTITIONS),
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": str(COORDINATOR_PARTITIONS),
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.min.heartbeat.interval.ms": "100",
        # Under KIP-848 the broker says what a classic member says for itself.
        "group.consumer.session.timeout.ms": str(SESSION_TIMEOUT_MS),
        "group.consumer.heartbeat.interval.ms": str(heartbeat_interval_ms(SESSION_TIMEOUT_MS)),
        # A node that is restarted in order hands its partitions over first; with one node there is nobody to take them.
        "controlled.shutdown.enable": "true" if len(nodes) > 1 else "false",
        # A dead node is noticed after 3 s instead of 9, so that many deaths fit into a run; one alone is never dead.
        "broker.session.timeout.ms": "3000" if len(nodes) > 1 else "9000",
        "broker.heartbeat.interval.ms": "500",
    }


def cluster_id() -> str:
    """A new id in the form that Kafka wants: 16 random bytes, base64url without padding."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def write_files(node: Node, nodes: Sequence[Node]) -> None:
    """The node's folder with its settings and its logging."""
    (node.folder / "tmp").mkdir(parents=True)
    lines = (f"{name}={value}\n" for name, value in settings(node, nodes).items())
    node.properties.write_text("".join(lines))
    node.logging.write_text(LOGGING)


@dataclass(frozen=True)
class Programs:
    """What runs a node: a `java` program with its `flags`, and Kafka's jars."""

    java: Path
    class_path: tuple[Path, ...]
    flags: tuple[str, ...] = ()

    def argv(self, *flags: str) -> tuple[str, ...]:
        """The command up to the class that is to be run."""
        return (str(self.java), *flags, *self.flags, "-cp", ":".join(map(str, self.class_path)))


@dataclass(frozen=True)
class Brokers:
    """The nodes of one cluster and what runs them; `optimised`: with Java's optimising compiler."""

    nodes: tuple[Node, ...]
    programs: Programs
    optimised: bool = False

    @property
    def bootstrap(self) -> str:
        """`bootstrap.servers` of the cluster."""
        return ",".join(f"{node.host}:{node.port}" for node in self.nodes)

    def start_formats(self, logs: Path) -> Iterator[Process]:
        """Write each node's files and start Kafka's tool that prepares its data folder; the tools end by themselves."""
        identity = cluster_id()
        for node in self.nodes:
            write_files(node, self.nodes)
            argv = self._argv(node, ("-Xmx128m", QUICK_COMPILER, "-XX:+UseSerialGC"))
            tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={identity}", "-c", str(node.properties))
            log = logs / f"{node.name}.log"
            yield start((*argv, *tool), name=f"format of {node.name}", log=log, env=ENVIRONMENT)

    def start(self, logs: Path) -> Iterator[Process]:
        """Start each node; they serve when `bench.cluster.ready` says so."""
        for node in self.nodes:
            yield self.start_node(node, logs)

    def start_node(self, node: Node, logs: Path) -> Process:
        """Start one node over the folder that it has, for the first time or again."""
        heap_mib = HEAP_MIB[len(self.nodes)]
        heap = (f"-Xmx{heap_mib}m", f"-Xms{heap_mib}m", "-XX:+ExitOnOutOfMemoryError")
        collector = (COLLECTOR, "-XX:MaxGCPauseMillis=20")
        compilers = () if self.optimised else (QUICK_COMPILER,)
        argv = (*node.entry, *self._argv(node, (*heap, *collector, *compilers)), "kafka.Kafka", str(node.properties))
        process = start(argv, name=node.name, log=logs / f"{node.name}.log", env=ENVIRONMENT)
        # Nodes that are asked to end together would each wait for a controller that is ending too.
        return process if len(self.nodes) == 1 else dataclasses.replace(process, stop_signal=signal.SIGKILL)

    def _argv(self, node: Node, flags: Sequence[str]) -> tuple[str, ...]:
        # Without the first two, files outside the node's folder would stay behind a killed process.
        places = ("-XX:-UsePerfData", f"-Djava.io.tmpdir={node.folder / 'tmp'}")
        quiet = ("-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={node.logging}")
        return self.programs.argv(*flags, *places, *quiet)


def choose_nodes(
    count: int, first_port: int | None, ports: Ports, folder: Path, *, network: Network | None = None
) -> tuple[Node, ...]:
    """`count` nodes on `first_port` and those that follow, or on free ports, each at a place of its own where there is
    a private network. Raises `ServerUnavailable`.
    """
    if first_port is None:
        chosen = ports.free(count)
    else:
        chosen = [ports.named(first_port + more, server="Kafka") for more in range(count)]
    pairs = zip(chosen, ports.free(count), strict=True)
    nodes = [Node(number, *pair, folder / f"broker-{number}") for number, pair in enumerate(pairs, start=1)]
    return tuple(_placed(node, network) for node in nodes)


def _placed(node: Node, network: Network | None) -> Node:
    if network is None:
        return node
    return dataclasses.replace(node, host=network.address(node.name), entry=tuple(network.enter(node.name)))
