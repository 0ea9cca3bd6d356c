"""Download progress: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

PLAIN_EVERY_S: Final = 5.0

Advance = Callable[[int], None]
"""Told of each finished file's bytes; may be called from any thread."""


@contextmanager
def meter(what: str, files: int) -> Iterator[Advance]:
    """Show on standard error how many of `files` files have arrived, and their bytes."""
    console = Console(file=sys.stderr)
    with (_bar if console.is_terminal else _lines)(console, what, files) as advance:
        yield advance


@contextmanager
def _bar(console: Console, what: str, files: int) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[size]}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=files, size="")
        total = 0

        def advance(size_bytes: int) -> None:
            nonlocal total
            total += size_bytes
            progress.update(task, advance=1, size=f"{total / 1e6:.0f} MB")

        yield advance


@contextmanager
def _lines(console: Console, what: str, files: int) -> Iterator[Advance]:
    arrived, total, shown = 0, 0, time.monotonic()
    console.print(f"{what}: {files} files", highlight=False)

    def advance(size_bytes: int) -> None:
        nonlocal arrived, total, shown
        arrived, total = arrived + 1, total + size_bytes
        if arrived == files or time.monotonic() - shown > PLAIN_EVERY_S:
            shown = time.monotonic()
            console.print(f"{what}: {arrived} of {files} files, {total / 1e6:.0f} MB", highlight=False)

    yield advance
