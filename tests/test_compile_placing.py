"""Where the buffers of a compiled step lie in its scratch memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ninja.program.compile.c.buffers import Buffer, contiguous
from tinygrad_ninja.program.compile.c.placing import place

DTYPES = [np.dtype(name) for name in ("float32", "float64", "int64", "bool")]


@given(st.data())
def test_buffers_in_use_at_the_same_time_share_nothing_nor_do_different_dtypes(data):
    groups = [[] for _ in range(data.draw(st.integers(1, 8)))]
    buffers = []
    for number in range(data.draw(st.integers(0, 12))):
        shape = (data.draw(st.integers(0, 100)),)
        buffer = Buffer(f"b{number}", data.draw(st.sampled_from(DTYPES)), shape, contiguous(shape))
        used = data.draw(st.sets(st.integers(0, len(groups) - 1), min_size=1))
        for group in used:
            groups[group].append(buffer)
        buffers.append((buffer, min(used), max(used)))
    groups[0].append(Buffer("argument", DTYPES[0], (3,), (1,), slot=1))
    total = place(groups)
    for i, (buffer, first, last) in enumerate(buffers):
        start, end = span(buffer)
        assert start % 64 == 0
        assert end <= total
        for other, other_first, other_last in buffers[:i]:
            at_once = first <= other_last and other_first <= last
            other_start, other_end = span(other)
            if at_once or buffer.dtype != other.dtype:
                assert end <= other_start or other_end <= start


def test_memory_is_used_again_by_what_begins_later():
    early, late = (Buffer(name, DTYPES[0], (1000,), (1,)) for name in ("early", "late"))
    assert place([[early], [late]]) == 4032
    assert early.offset == late.offset == 0


def span(buffer):
    """Return where the buffer begins and ends, in bytes."""
    return buffer.offset, buffer.offset + max(1, buffer.elements) * buffer.dtype.itemsize
