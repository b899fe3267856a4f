"""Parts of arrays that are changed: `put` and `put_view` as C, as straight-line NumPy and as torch code."""

from typing import Any

import numpy as np
import pytest
from programs import Written
from slow_ones import slow_but

from tinygrad_ninja.arrays import numpy_arrays
from tinygrad_ninja.ops import elementwise, indexing, reduction, shape
from tinygrad_ninja.program.compile.refusals import UnsupportedError
from tinygrad_ninja.program.instructions import Var, flatten

X = np.arange(24.0, dtype=np.float32).reshape(4, 6)


def same(program: Written, *outputs: Var) -> None:
    steps = [item for i in program.instructions for item in flatten(i.parameters) if isinstance(item, slice)]
    backwards = any((item.step or 1) < 0 for item in steps)  # which no torch tensor takes
    for run in (program.as_c, program.as_numpy, *([] if backwards else [program.as_torch])):
        for have, want in zip(run(*outputs), outputs, strict=True):
            assert (have.shape, have.dtype) == (want.shape, want.dtype), run.__name__
            np.testing.assert_array_equal(have, want.value, err_msg=run.__name__)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ((slice(1, 3),), np.float32([[-1] * 6] * 2)),
        ((slice(1, 3), ...), np.float32([-1, -2, -3, -4, -5, -6])),
        ((slice(None, None, 2), slice(None, None, -2)), 7.5),
        ((0,), np.float32([[[-1, -2, -3, -4, -5, -6]]])),  # NumPy takes more dimensions of size 1
        ((2, 3), -1.0),
        ((2, 3, ...), np.float64(0.1)),
        ((-1, slice(5, 0, -2)), np.int64([1, 2, 3])),
        ((slice(2, 2),), 5.0),
        ((...,), np.float32([[1], [2], [3], [4]])),
        ((None, 1), 3.0),
    ],
    ids=str,
)
def test_a_part_by_slices_and_integers(key: Any, value: Any) -> None:
    program = Written()
    x = program.input(X)
    put = program.of(
        indexing.put, x, program.input(value) if isinstance(value, np.ndarray) else value, parameters=(key,)
    )
    total = program.of(reduction.sum, put, parameters=((1,), False))
    same(program, put, total, x)


@pytest.mark.parametrize(
    ("arrays", "value"),
    [
        (([0, 2, 0, 0],), np.arange(24.0).reshape(4, 6)),  # the last of those that are named twice
        (([-1, 1], [5, -6]), np.float32([1, 2])),
        (([[0, 1], [0, 1]],), np.float32([-1, -2, -3, -4, -5, -6])),
        (([1, 1, 1], [2, 2, 2]), np.float32([1, 2, 3])),
        (([],), 1.0),
        ((slice(None), [3, 3]), np.float32([[1, 2]])),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "dtype", slow_but(["float32", "float64", "int64", "bool", "float16"], "float32", "bool")
)
def test_a_part_by_arrays(arrays: Any, value: Any, dtype: str) -> None:
    program = Written()
    x = program.input(X.astype(dtype))
    key = tuple(
        item if isinstance(item, slice) else program.input(np.array(item, np.int64)) for item in arrays
    )
    y = program.input(value) if isinstance(value, np.ndarray) else value
    put = program.of(indexing.put, x, y, parameters=(key,))
    same(program, program.of(elementwise.mul, put, put), put)


CHAINS = [
    ((indexing.slice, ((slice(1, 3),),)),),
    ((indexing.slice, ((slice(1, 3), ...),)), (indexing.select, ((0, ...),))),
    ((shape.permute, ((1, 0),)), (indexing.slice, ((slice(None, None, 2),),))),
    ((shape.reshape, ((24,),)), (indexing.slice, ((slice(3, 20, 4),),))),
    ((shape.reshape, ((2, 2, 6),)), (shape.permute, ((2, 0, 1),)), (indexing.select, ((1, ...),))),
    ((shape.unsqueeze, ((1, 4, 6),)), (indexing.select, ((0, 2, ...),))),
    ((indexing.slice, ((slice(2, 2),),)),),
]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize(
    "kind", slow_but(["number", "array", "row of another dtype", "itself"], "row of another dtype", "itself")
)
def test_a_part_through_views(chain: Any, kind: str) -> None:
    program = Written()
    x = program.input(X)
    y = program.of(elementwise.mul, x, 2.0)
    seen = indexing.read_chain(numpy_arrays, X, chain)
    value: Any = -1.5
    if kind == "array":
        value = program.input(-np.arange(1.0, 1 + seen.size, dtype=np.float32).reshape(seen.shape))
    elif kind == "row of another dtype":
        value = program.input(np.arange(seen.shape[-1]).reshape(1, 1, 1, -1))
    elif kind == "itself":
        value = y
        for entry, parameters in chain:
            value = program.of(entry, value, parameters=parameters)
        value = program.of(elementwise.neg, value)
    put = program.of(indexing.put_view, y, value, parameters=(chain,))
    again = program.of(indexing.put_view, put, 3.0, parameters=(CHAINS[0],))
    same(program, put, again, program.of(reduction.sum, again, parameters=(None, False)))


def test_a_view_of_other_strides_is_refused_by_name() -> None:
    program = Written()
    x = program.input(X)
    chain = ((shape.permute, ((1, 0),)), (shape.reshape, ((24,),)), (indexing.slice, ((slice(2),),)))
    put = program.of(indexing.put_view, x, 1.0, parameters=(chain,))
    for run in (program.as_c, program.as_numpy, program.as_torch):
        with pytest.raises(UnsupportedError, match=r"program.py:1: put_view .* contiguous"):
            run(put)
