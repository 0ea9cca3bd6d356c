"""Builds the kernel of system/kafka, a plain shared object that is loaded by ctypes. Everything else is in
pyproject.toml.

It is optional: without a compiler the install succeeds and the same interface runs on ctypes alone, slower.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SOURCES = ["system/kafka/kernel.c", "system/kafka/kernel_produce.c"]
OPTIONS = ("-O3", "-fPIC", "-shared", "-Wall", "-Wextra")


class BuildKernel(build_ext):
    """One run of the machine's own compiler: the one that built Python need not be here, nor Python's headers."""

    def build_extension(self, ext: Extension) -> None:
        wanted = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
        found = [command for name in wanted if (command := shlex.split(name)) and shutil.which(command[0])]
        if not found:
            raise CompileError("no C compiler: cc, gcc or clang, or the one that CC names")
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run([*found[0], *OPTIONS, "-o", str(target), *ext.sources], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CompileError(str(error)) from error


setup(
    ext_modules=[Extension("system.kafka._kernel", SOURCES, depends=["system/kafka/kernel.h"], optional=True)],
    cmdclass={"build_ext": BuildKernel},
)
