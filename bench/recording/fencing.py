"""Before the final audit every transactional id of a run is fenced, so that no transaction of a producer that died or
hangs holds the last stable offset down, and none can still be committed.

`init_transactions` under the same id aborts what is open and makes every older producer of the id a zombie (KIP-98,
KIP-360). Afterwards the stable end of each log is its high watermark.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from bench.recording.convert import read_events
from bench.recording.errors import RecordingFailed
from bench.recording.frames import read_frames
from bench.recording.positions import Client, End, log_ends
from bench.waiting import DeadlineExceeded, wait_until

AT_ONCE: Final = 8


class Fenced(NamedTuple):
    """The ids that were fenced, and the partitions that an open transaction had held up to then."""

    transactional_ids: tuple[str, ...]
    held: tuple[End, ...]


def transactional_ids(run_folder: Path, *, prefix: str) -> list[str]:
    """Every id that the processes of a run may have used, sorted: those named by transactions in its raw journals and
    delivery reports (`<transactional id>/<n>`), and `<prefix><process>` of every process that was started.

    Works while the run goes on. An id that was never used is harmless to fence.
    """
    used = set()
    for kind, place in (("journal", 0), ("acks", 1)):
        for path in sorted((run_folder / "raw" / kind).glob("*.bin")):
            used |= {frame.names[place] for frame in read_frames(path).whole}
    events, _torn = read_events(run_folder)
    named = {name.rpartition("/")[0] for name in used if name}
    return sorted(named | {prefix + event["process"] for event in events if event["event"] == "process-started"})


def fence(ids: Iterable[str], client: Client, topics: Sequence[str], *, deadline_s: float = 30.0) -> Fenced:
    """Fence the ids, then wait until the stable end of every partition of the full topic names is its high watermark.

    Raises `RecordingFailed`, which names the id that the cluster did not give or the partition that stayed held.
    """
    wanted = tuple(sorted(set(ids)))
    held = [end for end in log_ends(client, topics, deadline_s=deadline_s) if end.stable < end.high]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fence") as pool:
        list(pool.map(lambda one: _fence_one(one, client, deadline_s), wanted))
    left: list[End] = []

    def all_stable() -> bool:
        left[:] = [end for end in log_ends(client, topics, deadline_s=deadline_s) if end.stable < end.high]
        return not left

    try:
        wait_until(all_stable, deadline_s=deadline_s, why="every log to be stable up to its end")
    except DeadlineExceeded as error:
        places = ", ".join(f"{end.topic}[{end.partition}] is stable to {end.stable} of {end.high}" for end in left[:4])
        raise RecordingFailed(f"a transaction stays open though its ids were fenced: {places}") from error
    return Fenced(wanted, tuple(held))


def _fence_one(transactional_id: str, client: Client, deadline_s: float) -> None:
    """Take the id over and leave it; a coordinator that is busy with the old transaction is asked again."""
    producer = Producer({**client, "transactional.id": transactional_id, "log_level": 0})
    refusals: list[str] = []

    def taken() -> bool:
        try:
            producer.init_transactions(deadline_s)
        except KafkaException as failure:
            refusals.append(failure.args[0].str())
            if not failure.args[0].retriable():
                raise RecordingFailed(f"could not fence {transactional_id}: {refusals[-1]}") from failure
            return False
        return True

    try:
        wait_until(taken, deadline_s=deadline_s, why=f"{transactional_id} to be fenced")
    except DeadlineExceeded as error:
        raise RecordingFailed(f"could not fence {transactional_id} within {deadline_s:g} s: {refusals[-1:]}") from error
