"""Figures from a recorded run: pure functions of the files in a run folder, written to `measurements.json`."""

from bench.measure.stage import measure

__all__ = ["measure"]
