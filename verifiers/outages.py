"""When a run had a fault in it, and when a fault left nobody to go on: the windows that liveness is judged against.

A window begins with `fault-struck` and ends with `fault-healed` of the same plan's word, or never. It leaves nobody
where it struck the database, the driver, a majority of the brokers or every worker of a service. Times are
CLOCK_MONOTONIC ns.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from verifiers.disturbance import load_window
from verifiers.ownership import service_of
from verifiers.recording import Recording

EVERYBODY: Final = ("postgres", "driver", "majority", "brokers")
"""Roles of a plan without which nothing goes on."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin_ns` to `end_ns`; `fault` is the plan's word, `hit` the processes that it struck."""

    begin_ns: int
    end_ns: int
    fault: str = ""
    hit: tuple[str, ...] = ()


def judged_window(recording: Recording) -> tuple[int, int]:
    """Begin of the load and end of the drain, or the last event where no end was recorded."""
    begin_ns, end_ns = load_window(recording)
    return begin_ns, max(begin_ns, min(end_ns, recording.number("SELECT max(monotonic_ns) FROM events")))


def fault_windows(recording: Recording) -> list[Window]:
    """Every fault that struck, in time order; one that never healed lasts until the end of the load."""
    _, end_ns = judged_window(recording)
    rows = recording.rows(
        """SELECT event, monotonic_ns, fields FROM events WHERE event IN ('fault-struck', 'fault-healed')
           ORDER BY monotonic_ns"""
    )
    struck: list[Window] = []
    healed: dict[str, int] = {}
    for event, at_ns, text in reversed(rows):
        fields: Mapping[str, Any] = orjson.loads(text)
        word = str(fields.get("fault"))
        if event == "fault-healed":
            healed[word] = int(at_ns)
            continue
        hit = fields.get("hit")
        processes = hit.get("processes") if isinstance(hit, Mapping) else None
        names = tuple(str(name) for name in processes) if isinstance(processes, list) else ()
        struck.append(Window(int(at_ns), healed.pop(word, max(end_ns, int(at_ns))), word, names))
    return struck[::-1]


def without_quorum(recording: Recording) -> list[Window]:
    """The windows in which a fault left nobody to go on."""
    return [window for window in fault_windows(recording) if _leaves_nobody(recording, window)]


def _leaves_nobody(recording: Recording, window: Window) -> bool:
    kind, _, rest = window.fault.partition(":")
    role = rest.partition("@")[0]
    if role in EVERYBODY or kind == "rolling":
        return True
    hit = Counter(service_of(name) for name in window.hit)
    return any(count >= _workers(recording, service) for service, count in hit.items())


def _workers(recording: Recording, service: str) -> int:
    value = recording.knob(f"workers_{service}")
    return value if isinstance(value, int) else 1


def merged(windows: Sequence[Window], *, within_ns: int) -> list[Window]:
    """Windows in time order, joined where the next one begins before `within_ns` have passed since the last ended."""
    found: list[Window] = []
    for window in windows:
        last = found[-1] if found else None
        if last is None or window.begin_ns > last.end_ns + within_ns:
            found.append(window)
            continue
        word = f"{last.fault}+{window.fault}"
        found[-1] = Window(last.begin_ns, max(last.end_ns, window.end_ns), word, last.hit + window.hit)
    return found


def longest(begin_ns: int, end_ns: int, cuts: Iterable[Window]) -> int:
    """The longest stretch between two moments that no window touches, in ns; a window of no length only divides."""
    best, since = 0, begin_ns
    for cut in sorted(cuts, key=lambda one: one.begin_ns):
        if cut.end_ns < begin_ns or cut.begin_ns > end_ns:
            continue
        best = max(best, cut.begin_ns - since)
        since = max(since, cut.end_ns)
    return max(best, end_ns - since)
