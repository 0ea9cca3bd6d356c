"""The timeline: panels over one axis (throughput, response, lag, processor, memory), phases shaded, faults marked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from reports.drawing import axes, colour, in_both_widths, svg
from reports.palette import role
from reports.rounding import short, time_text

HEIGHT: Final = 176
SHADED: Final = ("warm-up", "drain")
QUANTILES: Final = (("p50", "c4"), ("p99", "c1"), ("p99_9", "c6"), ("max", "muted"))


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a colour role and what it stands for; `dashed` where the line is."""

    role: str
    text: str
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """A drawing with its heading, the unit of its axis, its legend and a note on how it was taken."""

    title: str
    unit: str
    keys: tuple[Key, ...]
    drawing: Markup
    note: str = ""


@dataclass(frozen=True)
class Span:
    """The time axis of a run: seconds since the first intended operation, phases and marks on it."""

    begin_s: float
    end_s: float
    phases: tuple[tuple[str, float, float], ...]
    marks_s: tuple[float, ...]
    anomalies_s: tuple[float, ...] = ()
    bands_s: tuple[tuple[float, float], ...] = ()
    """From strike to healing of each fault of the plan."""


def span(
    columns: Mapping[str, Any],
    *,
    marks_s: Sequence[float],
    anomalies_s: Sequence[float] = (),
    bands_s: Sequence[tuple[float, float]] = (),
) -> Span:
    """The axis of a timeline, from the first intended operation on."""
    phases = tuple((row["name"], row["begin_s"], row["end_s"]) for row in columns.get("phases", []))
    end_s = float(max(1, len(columns.get("second", []))))
    inside = tuple(at for at in anomalies_s if 0 <= at <= end_s)
    bands = tuple((max(0.0, begin), min(end_s, end)) for begin, end in bands_s if end > 0 and begin < end_s)
    return Span(0.0, end_s, phases, tuple(marks_s), inside, bands)


def panels(columns: Mapping[str, Any], *, over: Span) -> list[Panel]:
    """Those panels for which the run has columns."""
    if not columns.get("second"):
        return []
    found = [_throughput(columns, over), _response(columns, over)]
    found += [_lag(columns, over)] if columns.get("lag_records") else []
    found += [_stacked(columns, over, name="cpu_cores", title="Processor", unit="cores")]
    found += [_stacked(columns, over, name="rss_mib", title="Resident memory", unit="MiB")]
    return [panel for panel in found if panel.keys]


def draw_frame(plot: Axes, over: Span, *, narrow: bool) -> None:
    """The time axis with shaded phases and fault marks, alike in every panel."""
    plot.set_xlim(over.begin_s, over.end_s)
    for name, begin, end in over.phases:
        if name in SHADED:
            low, high = max(begin, over.begin_s), min(end, over.end_s)
            plot.axvspan(low, high, facecolor=colour("shade"), edgecolor="none", zorder=0)
    for begin, end in over.bands_s:
        plot.axvspan(begin, end, facecolor=colour("bad"), alpha=0.12, edgecolor="none", zorder=0)
    for at in over.marks_s:
        plot.axvline(at, color=colour("bad"), linewidth=1.2, dashes=(3, 2), zorder=4)
    plot.xaxis.set_major_locator(MaxNLocator(5 if narrow else 12, integer=True))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))


def _panel(name: str, over: Span, paint: Callable[[Axes], None]) -> Markup:
    def draw(width: int, name: str) -> str:
        with axes(width, height=HEIGHT) as plot:
            draw_frame(plot, over, narrow=width < 600)
            paint(plot)
            return svg(plot, name=name)

    return in_both_widths(name, draw)


def _numbers(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _linear(plot: Axes, *, top: float) -> None:
    plot.set_ylim(0, top * 1.08 if top > 0 else 1)
    plot.yaxis.set_major_locator(MaxNLocator(4))
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value < 1e6 else short(value)))


def _throughput(columns: Mapping[str, Any], over: Span) -> Panel:
    seconds = np.array(columns["second"]) + 0.5
    offered, completed = _numbers(columns["offered"]), _numbers(columns["completed"])
    failed = _numbers(columns["failed"])

    def paint(plot: Axes) -> None:
        plot.fill_between(seconds, completed, color=colour("c1"), alpha=0.14, linewidth=0)
        plot.plot(seconds, completed, color=colour("c1"), linewidth=2)
        plot.plot(seconds, offered, color=colour("ink"), linewidth=1.2, dashes=(4, 2))
        plot.plot(seconds, failed, color=colour("c2"), linewidth=1.4)
        _linear(plot, top=float(np.nanmax([offered.max(), completed.max()])))
        where = np.array(over.anomalies_s)
        plot.plot(where, np.zeros(where.size), "^", color=colour("bad"), markersize=7, clip_on=False, zorder=5)

    keys: tuple[Key, ...] = (
        Key("ink", "offered", dashed=True),
        Key("c1", "completed"),
        Key("c2", "of these: business “fail”"),
    )
    keys += (Key("bad", "▲ saga of a counter-example"),) if over.anomalies_s else ()
    return Panel("Throughput", "operations a second", keys, _panel("throughput", over, paint))


def _response(columns: Mapping[str, Any], over: Span) -> Panel:
    seconds = np.array(columns["second"]) + 0.5
    lines = {name: _numbers(columns.get(f"response_ms_{name}") or []) for name, _ in QUANTILES}
    shown = {name: values for name, values in lines.items() if values.size and not np.all(np.isnan(values))}

    def paint(plot: Axes) -> None:
        plot.set_yscale("log")
        for name, line_role in QUANTILES:
            if name in shown:
                width = 0.9 if name == "max" else 1.8
                plot.plot(seconds, shown[name], color=colour(line_role), linewidth=width, solid_joinstyle="round")
        log_milliseconds(plot)

    windows = columns.get("windows_s") or {}
    keys = tuple(Key(line_role, name.replace("_", ".")) for name, line_role in QUANTILES if name in shown)
    wide = [f"{name.replace('_', '.')} over {windows[name]} s" for name in shown if windows.get(name, 1) > 1]
    note = f"Trailing windows: {', '.join(wide)}." if wide else ""
    return Panel("Response time", "by intended second, log scale", keys, _panel("response", over, paint), note=note)


def log_milliseconds(plot: Axes) -> None:
    """A logarithmic axis of times with a label a decade, in the unit that reads best there."""
    low, high = plot.get_ylim()
    plot.set_ylim(max(low, 1e-3), max(high, low * 20))
    steps = (1.0,) if np.log10(plot.get_ylim()[1] / plot.get_ylim()[0]) > 2.5 else (1.0, 2.0, 5.0)
    plot.yaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
    plot.yaxis.set_minor_formatter(NullFormatter())
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: time_text(value)))


def _lag(columns: Mapping[str, Any], over: Span) -> Panel:
    seconds = np.array(columns["second"]) + 0.5
    lines = {name: _numbers(values) for name, values in sorted(columns["lag_records"].items())}

    def paint(plot: Axes) -> None:
        for name, values in lines.items():
            plot.plot(seconds, values, color=colour(role(name)), linewidth=1.8)
        _linear(plot, top=max((float(np.nanmax(v)) for v in lines.values() if not np.all(np.isnan(v))), default=1.0))

    keys = tuple(Key(role(name), name) for name in lines)
    return Panel("Consumer lag", "records", keys, _panel("lag", over, paint))


def _stacked(columns: Mapping[str, Any], over: Span, *, name: str, title: str, unit: str) -> Panel:
    seconds = np.array(columns["second"]) + 0.5
    found: Mapping[str, Sequence[float | None]] = columns.get(name) or {}
    layers = {process: np.nan_to_num(_numbers(found[process])) for process in sorted(found, key=role)}

    def paint(plot: Axes) -> None:
        roles = [colour(role(process)) for process in layers]
        plot.stackplot(seconds, *layers.values(), colors=roles, alpha=0.85, linewidth=0)
        _linear(plot, top=float(np.sum(list(layers.values()), axis=0).max()))

    keys = tuple(Key(role(process), process) for process in layers)
    drawing = _panel(name.replace("_", "-"), over, paint) if layers else Markup("")
    return Panel(title, f"{unit}, stacked", keys, drawing)
