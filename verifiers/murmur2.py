"""Kafka's murmur2 over a column of keys, and the partition that it gives a key (`murmur2_random`, the Java default).

Source: org.apache.kafka.common.utils.Utils.murmur2. Keys of one length are hashed together, four bytes a step, so the
cost is a few numpy operations a word and no Python object a key.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_SEED: Final = np.uint32(0x9747B28C)
_M: Final = np.uint32(0x5BD1E995)
Column = NDArray[Any]


def murmur2(data: Column, begins: Column, lengths: Column) -> Column:
    """The hash of each key as uint32; key i is data[begins[i] : begins[i] + lengths[i]], `data` is uint8."""
    hashes = np.zeros(len(begins), np.uint32)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        hashes[rows] = _same_length(data, begins[rows], int(length))
    return hashes


def _same_length(data: Column, begins: Column, length: int) -> Column:
    hashes = np.full(len(begins), _SEED ^ np.uint32(length), np.uint32)
    for word in range(length // 4):
        k = _little_endian(data, begins + 4 * word, 4) * _M
        hashes = (hashes * _M) ^ ((k ^ (k >> np.uint32(24))) * _M)
    if length % 4:
        hashes = (hashes ^ _little_endian(data, begins + length // 4 * 4, length % 4)) * _M
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _M
    return np.asarray(hashes ^ (hashes >> np.uint32(15)), np.uint32)


def _little_endian(data: Column, begins: Column, count: int) -> Column:
    word = np.zeros(len(begins), np.uint32)
    for byte in range(count):
        word |= data[begins + byte].astype(np.uint32) << np.uint32(8 * byte)
    return word


def key_partitions(keys: pa.BinaryArray, partitions: int) -> Column:
    """The partition of each key of an Arrow binary array without nulls, int32."""
    offsets = np.frombuffer(keys.buffers()[1], np.int32)[keys.offset : keys.offset + len(keys) + 1].astype(np.int64)
    content = keys.buffers()[2]
    data = np.frombuffer(content, np.uint8) if content is not None and content.size else np.zeros(0, np.uint8)
    hashes = murmur2(data, offsets[:-1], np.diff(offsets))
    return ((hashes & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)).astype(np.int32)
