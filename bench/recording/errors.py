"""Why a recording could not be taken; one sentence for the user that names the part and the reason."""


class RecordingFailed(Exception):
    """A server died, refused or stalled while a run was being recorded. What was written before stays."""
