import shutil
import subprocess
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.kafka import native_kernel
from system.kafka.columns import BytesColumn
from system.kafka.kernel import KERNEL, Kernel, kernel_in, kernel_kind
from system.kafka.native_kernel import NativeKernel
from system.kafka.portable_kernel import PortableKernel
from system.kafka.records import MESSAGE

ROWS = st.lists(st.none() | st.binary(max_size=70), max_size=20)

JAVA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""The vectors of Kafka's own UtilsTest."""


@given(ROWS)
def test_crc32_is_that_of_zlib_and_0_for_null(rows: list[bytes | None]) -> None:
    column = BytesColumn.from_list(rows)
    expected = [crc32(row or b"") for row in rows]
    assert KERNEL.crc32(column).tolist() == expected
    assert PortableKernel().crc32(column).tolist() == expected
    half = len(rows) // 2
    assert KERNEL.crc32(column.slice(half, len(rows))).tolist() == expected[half:]


def test_murmur2_is_that_of_the_java_client(kernel: Kernel) -> None:
    found = kernel.murmur2(BytesColumn.from_list(list(JAVA_VECTORS)))
    assert found.astype(np.int32).tolist() == list(JAVA_VECTORS.values())


@given(ROWS)
def test_both_kernels_have_the_same_murmur2(rows: list[bytes | None]) -> None:
    column = BytesColumn.from_list(rows)
    assert KERNEL.murmur2(column).tolist() == PortableKernel().murmur2(column).tolist()


def test_a_message_has_the_72_bytes_of_librdkafka() -> None:
    assert MESSAGE.itemsize == 72
    assert [MESSAGE.fields[name][1] for name in MESSAGE.names or ()] == [0, 8, 16, 24, 32, 40, 48, 56, 64]  # type: ignore[index]


def test_the_kernel_says_what_it_is() -> None:
    assert kernel_kind() == KERNEL.kind
    assert (KERNEL.kind == "native") == isinstance(KERNEL, NativeKernel)


def test_without_a_shared_object_that_loads_the_portable_kernel_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert kernel_in(tmp_path).kind == "ctypes"
    assert caplog.messages == []
    (tmp_path / f"_kernel{EXTENSION_SUFFIXES[0]}").write_bytes(b"of another machine")
    assert kernel_in(tmp_path).kind == "ctypes"
    assert "the compiled kernel is not used" in caplog.messages[0]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")
def test_a_kernel_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = tmp_path / "kernel.so"
    sources = sorted(Path(native_kernel.__file__).parent.glob("kernel*.c"))
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", built, *sources], check=True)
    assert NativeKernel(built).kind == "native"
    monkeypatch.setattr(native_kernel, "INTERFACE", 0)
    with pytest.raises(OSError, match="another version"):
        NativeKernel(built)
