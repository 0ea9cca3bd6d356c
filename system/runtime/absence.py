"""Whether a worker may have been away, stopped or starved, for so long that its partitions are somebody else's.

Who comes back from such an absence learns of its deposition a moment later, inside poll. What it would say of its
partitions in that moment is of the past: the low watermark that it published would fall behind its successor's. Pure:
it is told the time.
"""

from dataclasses import dataclass
from typing import Final

AWAY_SHARE: Final = 0.5
"""Of the session timeout: who was away for less is still a member."""
DOUBT_S: Final = 1.0
"""For so long after an absence a worker holds its tongue; within a heartbeat its client finds out if it was deposed."""


@dataclass(slots=True)
class Absence:
    """`seen_s` is when the worker was last seen at work."""

    session_s: float
    seen_s: float
    doubt_ends_s: float = 0.0

    def is_doubtless(self, now_s: float) -> bool:
        """Whether it would know by now if its partitions were somebody else's. It is at work now: ask at every step."""
        if now_s - self.seen_s > AWAY_SHARE * self.session_s:
            self.doubt_ends_s = now_s + DOUBT_S
        self.seen_s = now_s
        return now_s >= self.doubt_ends_s
