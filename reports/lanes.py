"""Who owned which partition when: a lane a partition of each group, drawn from the assignment events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup
from matplotlib.axes import Axes

from reports.drawing import BOTTOM, TOP, axes, colour, in_both_widths, svg
from reports.palette import role
from reports.timeline import Key, Panel, Span, draw_frame

LANE_PX: Final = 15
LANES_MAX: Final = 48
ENDS: Final = ("partitions-revoked", "partitions-lost")


@dataclass(frozen=True)
class Tenure:
    """A process owned a partition of a group's topic from `begin_s` to `end_s` (seconds on the run's axis)."""

    lane: str
    process: str
    begin_s: float
    end_s: float


def tenures(events: Iterable[Mapping[str, Any]], *, begin_ns: int, end_s: float) -> list[Tenure]:
    """Ownership from assignment to revocation, loss, the next owner or the end of the process; open ones to `end_s`."""
    open_: dict[str, tuple[str, float]] = {}
    found: list[Tenure] = []

    def close(lane: str, at_s: float) -> None:
        if lane in open_:
            process, begin_s = open_.pop(lane)
            found.append(Tenure(lane=lane, process=process, begin_s=begin_s, end_s=at_s))

    for row in events:
        process, at_s = str(row.get("process")), (int(row["monotonic_ns"]) - begin_ns) / 1e9
        if row["event"] == "process-exited":
            for lane in [lane for lane, (owner, _) in open_.items() if owner == process]:
                close(lane, at_s)
        for lane in _lanes(row) if row["event"] in (*ENDS, "partitions-assigned") else []:
            if row["event"] == "partitions-assigned":
                close(lane, at_s)
                open_[lane] = (process, at_s)
            elif open_.get(lane, ("",))[0] == process:
                close(lane, at_s)
    for lane in list(open_):
        close(lane, end_s)
    return [one for one in found if one.end_s > one.begin_s]


def _lanes(row: Mapping[str, Any]) -> list[str]:
    """`pay/0` … of an assignment event; partitions are numbers, or `[topic, partition]` pairs."""
    service = str(row.get("process", "")).rpartition("-")[0] or str(row.get("group", ""))
    numbers = [int(one[1]) if isinstance(one, list | tuple) else int(one) for one in row.get("partitions") or []]
    return [f"{service}/{number}" for number in numbers]


def assignment(owned: Sequence[Tenure], *, over: Span) -> Panel | None:
    """The panel, or None where nothing was assigned or there are more lanes than can be told apart."""
    lanes = sorted({one.lane for one in owned}, key=_lane_order)
    if not lanes or len(lanes) > LANES_MAX:
        return None

    def draw(width: int, name: str) -> str:
        with axes(width, height=len(lanes) * LANE_PX + TOP + BOTTOM) as plot:
            draw_frame(plot, over, narrow=width < 600)
            _paint(plot, owned, lanes)
            return svg(plot, name=name)

    processes = sorted({one.process for one in owned}, key=lambda name: (role(name), name))
    keys = tuple(Key(role(name), name) for name in processes)
    note = "A gap is a time without an owner."
    return Panel("Assignment", "partition by owner", keys, Markup(in_both_widths("lanes", draw)), note=note)


def _paint(plot: Axes, owned: Sequence[Tenure], lanes: Sequence[str]) -> None:
    for one in owned:
        at = lanes.index(one.lane)
        slot = one.process.rpartition("-")[2]
        shade = (0.9, 0.6, 0.4)[int(slot) % 3] if slot.isdigit() else 0.9
        bar = [(one.begin_s, one.end_s - one.begin_s)]
        plot.broken_barh(bar, (at - 0.34, 0.68), color=colour(role(one.process)), alpha=shade, linewidth=0)
    plot.set_ylim(len(lanes) - 0.4, -0.6)
    plot.set_yticks(range(len(lanes)), list(lanes), fontsize=9.5)
    plot.grid(visible=False)


def _lane_order(lane: str) -> tuple[str, int]:
    service, _, number = lane.rpartition("/")
    return role(service), int(number)
