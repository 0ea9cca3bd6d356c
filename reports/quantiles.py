"""Latency by quantile: the four latencies over one axis on which each further nine takes the same room."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from reports.drawing import axes, colour, in_both_widths, svg
from reports.timeline import Key, Panel, log_milliseconds

HEIGHT: Final = 320
LINES: Final = (
    ("response_latency_ms", "c1", "response", 5.0),
    ("end_to_end_latency_ms", "c6", "end to end", 1.8),
    ("service_latency_ms", "c4", "service", 1.8),
    ("wait_ms", "c2", "wait", 1.8),
)
TICKS: Final = ((0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"))


def quantile_plot(curves: Mapping[str, Any]) -> Panel | None:
    """The panel, or None where no latency has enough samples for a curve."""
    found = [line for line in LINES if (curves.get(line[0]) or {}).get("ms")]
    if not found:
        return None
    furthest = max(curves[name]["quantile"][-1] for name, *_ in found)

    def draw(width: int, name: str) -> str:
        with axes(width, height=HEIGHT) as plot:
            plot.set_yscale("log")
            for column, line_role, _, thickness in found:
                spread = [-np.log10(1 - q) for q in curves[column]["quantile"]]
                milliseconds = np.maximum(curves[column]["ms"], 1e-3)
                plot.plot(
                    spread,
                    milliseconds,
                    color=colour(line_role),
                    linewidth=thickness,
                    alpha=0.4 if thickness > 4 else 1,
                )
            ticks = [(-np.log10(1 - q), text) for q, text in TICKS if q <= furthest + 1e-9]
            plot.xaxis.set_major_locator(FixedLocator([at for at, _ in ticks]))
            plot.xaxis.set_major_formatter(FixedFormatter([text for _, text in ticks]))
            plot.xaxis.set_minor_locator(NullLocator())
            plot.set_xlim(-np.log10(0.9), -np.log10(1 - furthest) * 1.02)
            plot.grid(axis="x", color=colour("grid"), linewidth=1)
            log_milliseconds(plot)
            return svg(plot, name=name)

    keys = tuple(Key(line_role, text) for _, line_role, text, _ in found)
    note = "A line ends where fewer than 100 samples lie above it."
    return Panel("Latency by quantile", "log scale both ways", keys, in_both_widths("quantiles", draw), note=note)
