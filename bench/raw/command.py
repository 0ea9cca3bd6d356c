"""`choreobench raw`: the servers, the machine's bound, the cells, then `raw.json`, its page and the table."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from confluent_kafka import KafkaException
from rich.console import Console

from bench.cluster.cache import cache_folder
from bench.cluster.endpoints import Endpoints, Wanted, read_client_config
from bench.cluster.jars import kafka_jars, kafka_version, locked
from bench.cluster.java import find_java
from bench.cluster.servers import cluster
from bench.display import Display
from bench.options import UsageError, new_folder
from bench.raw import document
from bench.raw.contenders import contenders
from bench.raw.java_tools import Tools
from bench.raw.plan import Plan, plan
from bench.raw.rounds import Size, bounds, measure, warm_up
from bench.raw.site import site_of
from bench.raw.table import print_document
from bench.recording.environment import environment
from bench.recording.errors import RecordingFailed
from bench.stages import ReportFailed
from system.kafka.kernel import kernel_kind

WORK: Final = "work"
"""What Java's tools read and wrote; it goes with the end of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOptions:
    """The options as typed, the seed drawn."""

    profile: str
    seed: int
    out: Path
    only: str | None = None
    bootstrap_servers: str | None = None
    client_config: Path | None = None

    def wanted(self) -> Wanted:
        """The broker to start or to reach. Raises `UsageError` or `BadClientConfig`."""
        if self.client_config is not None and self.bootstrap_servers is None:
            raise UsageError("--client-config needs --bootstrap-servers: our own broker takes no other properties")
        read_client_config(self.client_config)
        return Wanted(bootstrap=self.bootstrap_servers, client_config=self.client_config, database=False)


def raw(options: RawOptions, *, command: str, console: Console) -> Path:
    """Measures, writes and prints; the new folder. What is interrupted leaves no folder behind.

    Raises `UsageError`, `BadClientConfig`, `ServerUnavailable`, and `RecordingFailed` where a contender loses a record
    or cannot be measured.
    """
    chosen, wanted = plan(options.profile, options.only), options.wanted()
    folder = new_folder(options.out, f"raw-{options.profile}-s{options.seed}")
    console.print(f"seed {options.seed} · raw {options.profile} · {kernel_kind()} kernel · {len(chosen.cells)} cells")
    try:
        with Display(console) as display:
            _measure(options, chosen, wanted, folder=folder, command=command, display=display)
    except KafkaException as error:
        raise RecordingFailed(f"could not measure: {error.args[0].str()}") from error
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)
        if not (folder / document.FILE).exists():
            shutil.rmtree(folder)
    page = render(folder)
    print_document(console, orjson.loads((folder / document.FILE).read_bytes()))
    console.print(f"page {page}")
    return folder


def render(folder: Path) -> Path:
    """`raw.html` from `raw.json`, in a process of its own: nothing here imports `reports`. Raises `ReportFailed`."""
    argv = [sys.executable, "-m", "reports.raw", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ReportFailed(f"no page of {folder}: {done.stderr.strip().splitlines()[-1:] or ['it said nothing']}")
    return folder / "raw.html"


def _measure(
    options: RawOptions, chosen: Plan, wanted: Wanted, *, folder: Path, command: str, display: Display
) -> None:
    work = folder / WORK
    work.mkdir()
    display.phase("servers")
    with cluster(wanted, logs=folder / "logs", say=display.say) as endpoints:
        site, tools = site_of(endpoints, work), _tools(wanted)
        record = document.Record(folder.name, command, options.seed, chosen, _environment(endpoints, tools))
        if tools is None:
            record.left_out.append("Kafka's own tools: they do not read librdkafka's --client-config")
        display.phase("machine")
        record.bounds = bounds(work, rounds=1 if chosen.profile.is_sketch else chosen.profile.rounds)
        warm_up(site, records=chosen.profile.base_records, seed=options.seed)
        for number, cell in enumerate(chosen.cells, start=1):
            display.phase(f"{cell.name} ({number} of {len(chosen.cells)})")
            size = Size(chosen.profile.rounds, chosen.records_of(cell))
            who = contenders(cell, chosen.profile, tools)
            record.cells.append((cell, measure(site, cell, who, size, seed=options.seed, tell=display.say)))
    document.write(record, folder)


def _tools(wanted: Wanted) -> Tools | None:
    """Kafka's tools, unless the cluster is reached by properties that only librdkafka understands."""
    if wanted.client_config is not None:
        return None
    java = find_java()
    return Tools(java.program, tuple(kafka_jars(cache_folder())), java.version)


def _environment(endpoints: Endpoints, tools: Tools | None) -> dict[str, object]:
    version = kafka_version(locked()) if endpoints.pids.get("broker-1") else None
    found = environment(dsn=None, kafka_version=version)
    return {**found, "client_kernel": kernel_kind(), "java": tools.version if tools else None}
