"""What a matrix shows while it goes on: a bar with the time left on a terminal, a line a finished cell otherwise."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.matrix.cells import Cell, Result
from bench.matrix.table import STYLES, said


class Meter:
    """Shows one sweep."""

    def __init__(self, console: Console, *, planned: int, done: int) -> None:
        self._console = console
        self._planned = planned
        self._done = done
        self._running: list[str] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=planned, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def began(self, cell: Cell) -> None:
        """A cell is being tried."""
        self._running.append(cell.name)
        self._show()

    def _show(self) -> None:
        self._bar.update(self._task, completed=self._done, description=", ".join(self._running))

    def ended(self, result: Result) -> None:
        """A cell has its result; its line stays."""
        self._done += 1
        self._running.remove(str(result["name"]))
        self._show()
        word = str(result.get("fate", result["verdict"]))
        style = STYLES.get(word, "")
        number = rf"\[{self._done}/{self._planned}]"
        line = f"{number} {result['name']}  [{style}]{word}[/]  {result['took_s']} s  "
        self._console.print(line + _found(result), highlight=False)


def _found(result: Result) -> str:
    if "caught_by" in result:
        return ", ".join(result["caught_by"]) or "; ".join(result["reasons"])
    rate = result["figures"]["sagas_per_s"]
    return said(result) if rate is None or result["recovery"] else f"{said(result)}, {rate:,.0f} sagas/s"
