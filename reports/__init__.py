"""One self-contained page a run and an index of runs; renders what was recorded and judges nothing."""

from reports.index import index
from reports.page import report

__all__ = ["index", "report"]
