"""Kafka's own tools as contenders, each in a Java process of its own; the figure is the one that the tool prints.

`ProducerPerformance` stands there three times. As it comes: default batch, which is how its figures are usually quoted.
With the batch and linger of the others, from its first record. And warm: it gets as many records again before those
that count, so that the compiling of a JVM is not held against Java. `ConsumerPerformance` tells its fetch time without
the time in which it joined its group; `EndToEndLatency` tells its mean over all records (its quantiles are whole
milliseconds).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cluster.kafka import ENVIRONMENT
from bench.cluster.process import start
from bench.raw import settings
from bench.raw.site import Sample, Stand
from bench.recording.errors import RecordingFailed
from bench.waiting import DeadlineExceeded

DEADLINE_S: Final = 180.0
STOP_S: Final = 1.0
LOGGING: Final = "status = off\nrootLogger.level = off\n"
OPTIONS: Final = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:-UsePerfData")
"""The collector of Kafka's scripts, and twice the heap of their performance tools: it made the producer faster."""

_PRODUCED: Final = re.compile(r"^(\d+)( steady state)? records sent, ([\d.]+) records/sec.* 99\.9th", re.MULTILINE)
"""A total; lines of progress in between carry no quantiles."""
_MEAN: Final = re.compile(r"^Avg latency: ([\d.]+) ms", re.MULTILINE)


@dataclass(frozen=True)
class Tools:
    """A `java` program and Kafka's jars."""

    java: Path
    class_path: tuple[Path, ...]
    version: str

    def produce(self, at: Stand, records: int) -> Sample:
        """`ProducerPerformance` with the settings of the others, from its first record: what it prints when asked."""
        more = ["--command-property", *settings.java_producer(at.cell)]
        return self._produced(at, records, more, total=records)

    def produce_warm(self, at: Stand, records: int) -> Sample:
        """The same in its steady state."""
        more = ["--warmup-records", str(records), "--command-property", *settings.java_producer(at.cell)]
        return self._produced(at, records, more, total=2 * records)

    def produce_as_it_comes(self, at: Stand, records: int) -> Sample:
        """The same with the defaults of Java's client, from its first record."""
        more = ["--command-property", *settings.java_promises(at.cell)]
        return self._produced(at, records, more, total=records)

    def transactional(self, at: Stand, records: int) -> Sample:
        """The steady state in transactions of a tenth of a second."""
        duration_ms = str(round(settings.TRANSACTION_S * 1000))
        more = ["--transactional-id", at.topic, "--transaction-duration-ms", duration_ms]
        more += ["--warmup-records", str(records), "--command-property", *settings.java_producer(at.cell)]
        return self._produced(at, records, more, total=2 * records)

    def _produced(self, at: Stand, records: int, more: Sequence[str], *, total: int) -> Sample:
        payloads = at.site.folder / f"payloads-{at.cell.payload_bytes}.txt"
        arguments = ["--topic", at.topic, "--num-records", str(total), "--throughput", "-1"]
        arguments += ["--payload-file", str(at.payloads.write(payloads)), "--bootstrap-server", _servers(at)]
        said = self._run(at, "ProducerPerformance", [*arguments, *more])
        return Sample(produced_per_s(said, records=records), records, stored=total)

    def consume(self, at: Stand, records: int) -> Sample:
        """`ConsumerPerformance` on the topic that everybody reads."""
        properties = at.site.folder / "consumer.properties"
        properties.write_text("\n".join(settings.java_consumer()) + "\n")
        arguments = ["--topic", at.topic, "--num-records", str(records), "--command-config", str(properties)]
        arguments += [
            "--bootstrap-server",
            _servers(at),
            "--fetch-size",
            str(settings.JAVA_FETCH_BYTES),
            "--hide-header",
        ]
        return Sample(consumed_per_s(self._run(at, "ConsumerPerformance", arguments), records=records), records)

    def round_trip(self, at: Stand, trips: int) -> Sample:
        """`EndToEndLatency`: sent, acknowledged, polled; then the next."""
        arguments = [_servers(at), at.topic, str(trips), at.cell.acks, str(at.cell.payload_bytes)]
        return Sample(mean_round_trip_us(self._run(at, "EndToEndLatency", arguments)), trips, stored=trips)

    def _run(self, at: Stand, tool: str, arguments: Sequence[str]) -> str:
        logging, log = at.site.folder / "log4j2.properties", at.site.folder / f"{at.topic}-{tool}.txt"
        logging.write_text(LOGGING)
        argv = [str(self.java), *OPTIONS, f"-Dlog4j2.configurationFile={logging}"]
        argv += ["-cp", ":".join(map(str, self.class_path)), f"org.apache.kafka.tools.{tool}", *arguments]
        process = start(argv, name=tool, log=log, env=ENVIRONMENT)
        try:
            code = process.wait(DEADLINE_S)
        except DeadlineExceeded as error:
            raise RecordingFailed(f"could not measure {at.cell.name}: {error}") from error
        finally:
            process.stop(STOP_S)
        if code != 0:
            raise RecordingFailed(f"could not measure {at.cell.name}: {tool} ended with {code}: {process.tail()}")
        return log.read_text(errors="replace")


def _servers(at: Stand) -> str:
    return str(at.site.connection["bootstrap.servers"])


def produced_per_s(said: str, *, records: int) -> float:
    """The last total of `ProducerPerformance`: the steady state's where there was a warm-up. Raises `RecordingFailed`
    for any other end.
    """
    found = _PRODUCED.findall(said)
    if not found or int(found[-1][0]) != records:
        raise RecordingFailed(f"ProducerPerformance did not send {records} records: {_last_line(said)}")
    return float(found[-1][2])


def consumed_per_s(said: str, *, records: int) -> float:
    """`fetch.nMsg.sec`, the last of the ten columns. Raises `RecordingFailed` where fewer records came."""
    columns = [column.strip() for column in _last_line(said).split(",")]
    if len(columns) != 10 or not columns[4].isdigit() or int(columns[4]) < records:
        raise RecordingFailed(f"ConsumerPerformance did not read {records} records: {_last_line(said)}")
    return float(columns[9])


def mean_round_trip_us(said: str) -> float:
    """`Avg latency` of `EndToEndLatency`, in µs. Raises `RecordingFailed` where it says none."""
    found = _MEAN.search(said)
    if found is None:
        raise RecordingFailed(f"EndToEndLatency said no latency: {_last_line(said)}")
    return float(found[1]) * 1000


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"
