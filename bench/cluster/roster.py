"""The servers that were started here, as they are now: one may be gone on purpose and come back with another pid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.cluster.process import Process

Starts = Mapping[str, Callable[[], Process]]
"""Name of a server → starts it anew, over the folder and on the ports that it had. From the main thread alone."""


@dataclass(slots=True)
class Roster:
    """`running` is the list that whoever started the servers puts away at the end: what is started again is in it.

    `away`: the servers that are gone (or going) on purpose, whose death is no failure.
    """

    running: list[Process] = field(default_factory=list)
    starts: Starts = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def of(self, name: str) -> Process:
        """The newest process of a server. Raises `KeyError`."""
        return next(process for process in reversed(self.running) if process.name == name)

    def names(self) -> Sequence[str]:
        """Every server that was started here, in order."""
        return list(dict.fromkeys(process.name for process in self.running))

    def start_again(self, name: str) -> Process:
        """Start a server whose process has ended; it stays `away` until `is_back` is called."""
        process = self.starts[name]()
        at = self.running.index(self.of(name))
        self.running[at] = process
        return process

    def is_back(self, name: str) -> None:
        """From now on its death is a failure again."""
        self.away.discard(name)

    def dead(self) -> list[Process]:
        """Those that run no more though nobody has sent them away."""
        return [each for each in self.running if each.name not in self.away and each.poll() is not None]
