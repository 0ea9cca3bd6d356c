"""The inner loops of the columnar client: in C where the install could compile them, else the same through ctypes.

Both answer the same calls with the same columns; `kernel_kind()` says which one this process has, and reports name
it. The compiled one is a plain shared object beside this module, built from kernel.h and its sources; one that an
older version left there is passed over, and so is one that does not load.
"""

import logging
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final, Literal

from system.kafka.native_kernel import NativeKernel
from system.kafka.native_sender import NativeSender
from system.kafka.portable_kernel import PortableKernel
from system.kafka.portable_sender import PortableSender

Kernel = NativeKernel | PortableKernel
Sender = NativeSender | PortableSender

_LOG: Final = logging.getLogger(__name__)


def kernel_in(folder: Path) -> Kernel:
    """The compiled kernel of this folder if there is one that loads, else the portable one."""
    for suffix in EXTENSION_SUFFIXES:
        path = folder / f"_kernel{suffix}"
        if not path.exists():
            continue
        try:
            return NativeKernel(path)
        except (OSError, AttributeError) as error:
            _LOG.warning("the compiled kernel is not used: %s", error)
    return PortableKernel()


KERNEL: Final[Kernel] = kernel_in(Path(__file__).parent)


def kernel_kind() -> Literal["native", "ctypes"]:
    """Which kernel this process has."""
    return KERNEL.kind
