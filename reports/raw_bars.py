"""The figures of a workload as bars with their intervals: a group a cell, a colour a contender."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.raw.contenders import COLUMNAR, KEYED, PORTABLE, PRODUCE_LOOP, PRODUCER_AS_IT_COMES, PRODUCER_WARM
from bench.raw.table import figure_of
from reports.drawing import axes, colour, in_both_widths, svg
from reports.rounding import short
from reports.timeline import Key

LINE: Final = 19
"""Pixels a bar, and a group's name."""
MARGINS: Final = 32
LABEL_ROOM: Final = 1.24
"""Of the longest bar, so that the figure behind it stays on the drawing."""
ROLES: Final = {
    COLUMNAR: "c1",
    KEYED: "c4",
    PORTABLE: "c8",
    PRODUCE_LOOP: "c3",
    PRODUCER_AS_IT_COMES: "c7",
    PRODUCER_WARM: "c5",
}
CONFLUENT, JAVA = "c2", "c6"

Cells = Sequence[Mapping[str, Any]]


def role(contender: str) -> str:
    """The colour role of a contender; confluent-kafka's and Java's yardsticks have one each in every workload."""
    return ROLES.get(contender, CONFLUENT if contender.startswith("confluent-kafka") else JAVA)


def keys(cells: Cells) -> tuple[Key, ...]:
    """The legend: every contender once, in the order of the first cell."""
    names = dict.fromkeys(one["name"] for cell in cells for one in cell["contenders"])
    return tuple(Key(role(name), name) for name in names)


def bars(name: str, cells: Cells) -> Markup:
    """The drawing in both widths."""
    lines = sum(1 + len(cell["contenders"]) for cell in cells)

    def draw(width: int, name: str) -> str:
        with axes(width, height=LINE * lines + MARGINS, left=2) as plot:
            _paint(plot, cells, lines=lines)
            return svg(plot, name=name)

    return in_both_widths(name, draw)


def _paint(plot: Axes, cells: Cells, *, lines: int) -> None:
    at, longest = 0, 0.0
    for cell in cells:
        plot.text(0, at, cell["name"], va="center", color=colour("ink"), fontsize=12)
        for one in cell["contenders"]:
            at += 1
            longest = max(longest, _bar(plot, one, at=at))
        at += 1
    plot.set_ylim(lines - 0.4, -0.6)
    plot.set_xlim(0, longest * LABEL_ROOM)
    plot.yaxis.set_visible(False)
    plot.grid(axis="x", color=colour("grid"), linewidth=1)
    plot.xaxis.set_major_locator(MaxNLocator(4))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def _bar(plot: Axes, contender: Mapping[str, Any], *, at: int) -> float:
    figure, _ = figure_of(contender)
    plot.barh(at, figure["median"], height=0.72, color=colour(role(contender["name"])))
    plot.plot([figure["low"], figure["high"]], [at, at], color=colour("ink"), linewidth=1.4)
    end = max(figure["median"], figure["high"])
    plot.annotate(
        text(figure["median"]), (end, at), (5, 0), textcoords="offset points", va="center", color=colour("muted")
    )
    return float(end)


def text(value: float) -> str:
    """A rate or a time as the axis says it: `2.46 M`, `450`."""
    return f"{value / 1e6:.3g} M" if value >= 1e6 else short(value)
