"""How a command ends: every foreseeable failure is one line on standard error and an exit code (interface.md)."""

import errno
import math
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final

from bench.cluster.errors import ServerUnavailable
from bench.options import UsageError
from bench.recording.errors import RecordingFailed
from bench.stages import ReportFailed
from system.kafka.config import BadClientConfig
from verifiers.folder import BadRecording

UNKNOWN, USAGE, UNAVAILABLE, BUG, INTERRUPTED = 2, 64, 69, 70, 130
SPEAKER: Final = "choreobench: "
"""What the line begins with."""
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
ECHO_S: Final = 1.0
"""Signals so soon after one that was heard are taken for the same."""
ENDED: Final = "interrupted; everything that was started has been stopped"


def ending(work: Callable[[], int]) -> int:
    """The exit code of `work`, or of what it raises. Ctrl-C and SIGTERM end it alike; call it from the main thread."""
    # SIGINT too: a shell that starts us in the background has it ignored, and nothing would end on it.
    interrupt = _interruption()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    try:
        return work()
    except (UsageError, BadClientConfig, BadRecording) as error:
        return fail(str(error), USAGE)
    except (ServerUnavailable, RecordingFailed) as error:
        return fail(str(error), UNAVAILABLE)
    except ReportFailed as error:
        return fail(str(error), UNKNOWN)
    except KeyboardInterrupt:
        return fail(ENDED, INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - a bug of ours; Python's own exit code for it would read as a safety violation
        # Python calls it a SystemError when an interruption came while an extension was in the middle of a call.
        if isinstance(error, SystemError) and isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            return fail(ENDED, INTERRUPTED)
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            return fail(
                f"{error.filename or 'the disk'}: {error.strerror}; what was recorded so far is kept", UNAVAILABLE
            )
        traceback.print_exc()
        return BUG


def fail(message: str, code: int) -> int:
    """Says why, in one line."""
    print(f"{SPEAKER}{' '.join(message.split())}", file=sys.stderr)
    return code


def _interruption() -> Callable[[int, FrameType | None], None]:
    """A handler that interrupts, and lets the echo of a signal pass: each thread of a parent may tell that it ends
    (PR_SET_PDEATHSIG), and the second would come in the middle of the clean-up.
    """
    heard_s = -math.inf

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal heard_s
        if time.monotonic() - heard_s >= ECHO_S:
            heard_s = time.monotonic()
            raise KeyboardInterrupt

    return interrupt
