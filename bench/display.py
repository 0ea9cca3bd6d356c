"""What a run shows while it goes on: a live line on a terminal (phase, rate, lag, time left), plain lines otherwise."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from bench.spec import RunSpec
from loadgen.history import Progress

PLAIN_PERIOD_S = 5.0


class Display:
    """Shows one run. `phase` begins a stretch, `say` adds a line that stays, `progress` renews the live line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._phase = ""
        self._last = (0.0, 0)
        self._rate_per_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("starting", spinner="dots")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def phase(self, name: str) -> None:
        """The run has come to `name`."""
        self._phase = name
        if self._status is not None:
            self._status.update(f"[bold]{name}[/bold]")
        else:
            self._console.print(f"· {name}")

    def say(self, line: str) -> None:
        """A line for the reader, in the middle of a phase."""
        if self._status is not None:
            self._status.update(f"[bold]{self._phase}[/bold]  {line}")
        else:
            self._console.print(f"  {line}", markup=False)

    def progress(self, progress: Progress, spec: RunSpec, lag: Mapping[str, int]) -> None:
        """How far the load is."""
        now = time.monotonic()
        since, finished = self._last
        if now - since < (0.5 if self._status is not None else PLAIN_PERIOD_S):
            return
        if since:
            self._rate_per_s = (progress.finished - finished) / (now - since)
        self._last = (now, progress.finished)
        line = self._line(progress, spec, lag)
        if self._status is not None:
            self._status.update(line)
        else:
            self._console.print(f"  {line}", markup=False)

    def _line(self, progress: Progress, spec: RunSpec, lag: Mapping[str, int]) -> str:
        phase = "drain" if progress.drain_began_ns else "measure" if progress.measure_began_ns else "warm-up"
        left = spec.operations - progress.finished
        eta = f", {left / self._rate_per_s:.0f} s left" if self._rate_per_s > 0 and phase != "drain" else ""
        behind = ", ".join(f"{service} {records:,}" for service, records in sorted(lag.items()))
        return (
            f"{phase}: {progress.finished:,} of {spec.operations:,} finished, {self._rate_per_s:,.0f}/s"
            f"{eta}; lag {behind or 'not sampled yet'}"
        )
