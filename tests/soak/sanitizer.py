"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer: `python -m tests.soak.sanitizer` (`make soak`).

The kernel is built with both and rounds of `exercise` run with it, in a process in which every allocation is watched,
those of Python and of librdkafka included. Kernels that are broken on purpose go first and must be caught. Leaks are
told at the end of the process, and only those with a function of the kernel in their stack count: Python itself frees
little at its end. Exit code 0 = clean, 1 = something was found, 2 = nothing is proven.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.cluster.servers import cluster
from system.kafka import native_kernel

ROUNDS: Final = 15
OPTIONS: Final = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FOUND: Final = ("ERROR: AddressSanitizer", "runtime error:")
SOUND: Final = ("", "")
PAST_THE_END: Final = ("out[i] = murmur2(", "out[i + 1] = murmur2(")
KEPT_FOR_EVER: Final = ("    free(reports);\n", "")
"""What is put in another's place in the source."""


def build(folder: Path, name: str, change: tuple[str, str]) -> Path:
    """The sanitized kernel as a shared object in `folder`."""
    sources = Path(native_kernel.__file__).parent
    place = folder / name
    place.mkdir()
    for source in sources.glob("kernel*.[ch]"):
        text = source.read_text()
        (place / source.name).write_text(text.replace(*change) if change[0] else text)
    target = place / "kernel.so"
    subprocess.run(["gcc", *OPTIONS, "-shared", "-fPIC", "-o", target, *place.glob("*.c")], check=True)
    return target


def run(kernel: Path, bootstrap: str, rounds: int) -> tuple[int, str]:
    """Exit code and output of the rounds with this kernel."""
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        # Python's own pools would hide what runs over the edge of an object.
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
        "LSAN_OPTIONS": "exitcode=0:max_leaks=0:report_objects=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-m", "tests.soak.exercise", f"--kernel={kernel}", f"--bootstrap={bootstrap}"]
    told = subprocess.run(
        [*command, f"--rounds={rounds}"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return told.returncode, told.stdout


def leaks_of(output: str) -> list[str]:
    """The leaks in LeakSanitizer's report that a function of the kernel allocated."""
    blocks = [block for block in output.split("\n\n") if block.lstrip().startswith(("Direct leak", "Indirect leak"))]
    return [block for block in blocks if " in kernel_" in block or "/kernel.so" in block]


def main() -> int:
    """Prints what was found; the exit code."""
    with tempfile.TemporaryDirectory() as name, cluster(logs=Path(name)) as servers:
        folder = Path(name)
        _, past = run(build(folder, "past", PAST_THE_END), servers.bootstrap, 1)
        _, kept = run(build(folder, "kept", KEPT_FOR_EVER), servers.bootstrap, 1)
        if FOUND[0] not in past or not leaks_of(kept):
            print(f"{past}\n{kept}\na kernel that was broken on purpose was not caught: nothing is proven")
            return 2
        code, output = run(build(folder, "sound", SOUND), servers.bootstrap, ROUNDS)
    leaks = leaks_of(output)
    if code or leaks or any(sign in output for sign in FOUND):
        print("\n\n".join(leaks) if leaks and not code else output)
        return 1
    print(f"clean: {ROUNDS} rounds, no access out of bounds or after free, nothing undefined, no leak of the kernel's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
