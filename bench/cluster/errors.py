"""The one way in which the set-up of servers fails: a line for the person who typed the command, never a traceback."""


class ServerUnavailable(RuntimeError):
    """A server, its files or its disk cannot be had; the message is one line with what is wrong. Exit code 69."""
