"""Rounds of `exercise` for minutes, at a fifth of a core: memory stays flat (`make soak`).

`python -m tests.soak.flat_memory --minutes 10 [--kernel ctypes]`. After each round the resident memory of
this process, its live Python blocks, threads and open files are noted. The first third is warm-up: caches, arenas,
the queues' first growth. Over the rest the trend must be below `KIB_A_ROUND` and `BLOCKS_A_ROUND`, and no thread or
file may be left over. Reports that are kept would cost 160 KiB a round, a batch of records 500, a client more than 100.
"""

import argparse
import ctypes
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench.cluster.servers import cluster
from bench.waiting import wait_until
from system.kafka.kernel import KERNEL, Kernel
from system.kafka.portable_kernel import PortableKernel
from tests.soak.exercise import Exercise

KIB_A_ROUND: Final = 10.0
BLOCKS_A_ROUND: Final = 8.0
"""A sample itself is up to six."""
BUSY_SHARE: Final = 0.2
ROUNDS_MIN: Final = 15
LIBC: Final = ctypes.CDLL(None)


@dataclass(frozen=True)
class Sample:
    """This process after a round; `blocks` are those of Python's allocator."""

    rss_kib: int
    blocks: int
    threads: int
    files: int


def sample() -> Sample:
    """What is in use now. glibc first gives back the free pages that its arenas hold: without it the resident memory
    goes up and down by 60 MB, with what is in use unchanged.
    """
    LIBC.malloc_trim(0)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Sample(int(status["VmRSS"].split()[0]), sys.getallocatedblocks(), int(status["Threads"]), files)


def trend(values: list[int]) -> float:
    """Growth a round: the median of the slopes between all pairs (Theil and Sen), which one arena more cannot move."""
    column = np.array(values, float)
    first, second = np.triu_indices(len(column), 1)
    return float(np.median((column[second] - column[first]) / (second - first)))


def growth(samples: list[Sample]) -> list[str]:
    """A line for each thing that grew after the warm-up."""
    if len(samples) < ROUNDS_MIN:
        return [f"{len(samples)} rounds are too few to tell"]
    steady = samples[len(samples) // 3 :]
    found = []
    for what, values, limit in (
        ("resident KiB", [one.rss_kib for one in steady], KIB_A_ROUND),
        ("live blocks", [one.blocks for one in steady], BLOCKS_A_ROUND),
        ("threads", [one.threads for one in steady], 0.0),
        ("open files", [one.files for one in steady], 0.0),
    ):
        if trend(values) > limit:
            found.append(f"{trend(values):.2f} {what} more a round, {values[0]} to {values[-1]}; legal: {limit:g}")
    return found


def soak(kernel: Kernel, minutes: float) -> tuple[list[Sample], int]:
    """The samples of as many rounds as fit, and the records that they moved."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as logs, cluster(logs=Path(logs)) as servers:
        exercise = Exercise(servers.bootstrap, kernel)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            spent, began = time.process_time(), time.monotonic()
            exercise.round()
            samples.append(sample())
            rest = began + (time.process_time() - spent) / BUSY_SHARE
            wait_until(lambda rest=rest: time.monotonic() >= rest, deadline_s=60, why="the pace")  # type: ignore[misc]
        exercise.close()
    return samples, exercise.records


def main() -> int:
    """Prints what grew; 0 = nothing."""
    parser = argparse.ArgumentParser(description="rounds of the columnar clients, memory watched")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kernel", choices=("installed", "ctypes"), default="installed")
    asked = parser.parse_args()
    kernel = KERNEL if asked.kernel == "installed" else PortableKernel()
    samples, records = soak(kernel, asked.minutes)
    print(f"{kernel.kind} kernel, {len(samples)} rounds, {records} records in {asked.minutes:g} minutes")
    for place in (0, len(samples) // 3, -1):
        print(f"  {samples[place]}")
    found = growth(samples)
    print("\n".join(found) or "flat")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
