"""Who owned which partition when, from what the workers said of their assignments; times are CLOCK_MONOTONIC ns.

A partition is without an owner from the moment its last owner gives it up, loses it or dies, until somebody says that
it was assigned.
"""

from dataclasses import dataclass
from typing import Final

import orjson

from verifiers.recording import Recording

GIVEN_UP: Final = ("partitions-revoked", "partitions-lost")


@dataclass(frozen=True, slots=True)
class Unowned:
    """A stretch in which a partition (`place`: `Pay-topic[0]`) had no owner; `process` was the last one."""

    place: str
    service: str
    process: str
    begin_ns: int
    end_ns: int


def unowned(recording: Recording, *, begin_ns: int, end_ns: int) -> tuple[list[Unowned], int]:
    """The stretches between two moments, and how many partitions were ever assigned."""
    owners: dict[str, set[str]] = {}
    since: dict[str, tuple[int, str]] = {}
    gaps: list[Unowned] = []

    def released(place: str, process: str, at_ns: int) -> None:
        held = owners.get(place, set())
        if process in held:
            held.discard(process)
            if not held:
                since[place] = (at_ns, process)

    for at_ns, event, process, places in _moves(recording, end_ns):
        if event == "process-exited":
            for place in [place for place, held in owners.items() if process in held]:
                released(place, process, at_ns)
        for place in places:
            if event in GIVEN_UP:
                released(place, process, at_ns)
            elif event == "partitions-assigned":
                owners.setdefault(place, set()).add(process)
                if place in since:
                    gaps.append(_gap(place, *since.pop(place), at_ns))
    gaps += [_gap(place, *left, end_ns) for place, left in since.items()]
    clipped = [
        Unowned(gap.place, gap.service, gap.process, max(gap.begin_ns, begin_ns), min(gap.end_ns, end_ns))
        for gap in gaps
    ]
    return [gap for gap in clipped if gap.end_ns > gap.begin_ns], len(owners)


def _gap(place: str, begin_ns: int, process: str, end_ns: int) -> Unowned:
    return Unowned(place, service_of(process), process, begin_ns, end_ns)


def service_of(process: str) -> str:
    """`pay` of `pay-1`."""
    name, _, slot = process.rpartition("-")
    return name if slot.isdigit() else process


def _moves(recording: Recording, end_ns: int) -> list[tuple[int, str, str, list[str]]]:
    rows = recording.rows(
        """SELECT monotonic_ns, event, process, fields FROM events WHERE monotonic_ns <= ? AND event IN
               ('partitions-assigned', 'partitions-revoked', 'partitions-lost', 'process-exited')
           ORDER BY monotonic_ns""",
        (end_ns,),
    )
    found = []
    for at_ns, event, process, text in rows:
        fields = orjson.loads(text)
        topic = str(fields.get("topic", "")).removeprefix(recording.prefix)
        places = [f"{topic}[{number}]" for number in fields.get("partitions") or ()]
        found.append((int(at_ns), str(event), str(process), places))
    return found


def membership_changes(recording: Recording) -> list[tuple[int, str | None]]:
    """(when, service) of each process that started or ended, of each member that was expelled, and of each fault that
    struck or healed (service None: it concerns every group)."""
    rows = recording.rows(
        """SELECT monotonic_ns, event, process FROM events WHERE event IN ('process-started', 'process-exited',
               'partitions-lost', 'fault-struck', 'fault-healed') ORDER BY monotonic_ns"""
    )
    return [
        (int(at_ns), None if str(event).startswith("fault-") else service_of(str(process)))
        for at_ns, event, process in rows
    ]
