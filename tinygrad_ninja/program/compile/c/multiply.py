"""A product of matrices as a call of a function, with copies of what does not lie as that needs it."""

from __future__ import annotations

from ...instructions import Instruction
from . import sharing
from .blas import Blas
from .buffers import Address, Buffer, scratch
from .c_code import ZERO, Apply, Loop, Pointer, Statement, counter
from .plan import Storage
from .products import Product, in_order
from .scalars import c_type


class Multiply:
    """Writes the call for one instruction, whose result has this address, for each matrix of its batch.

    kind: the type of the elements, in C. scratches: the memory for what is copied, because it does not lie in
    whole vectors.
    """

    def __init__(self, storage: Storage, instruction: Instruction, target: Address) -> None:
        self._target, self._dtype, self._width = target, instruction.output.dtype, storage.width
        self._left, self._right = map(storage.stored, instruction.inputs)
        (self._m, self._k), self._n = self._left.shape[-2:], self._right.shape[-1]
        self.kind = c_type(self._dtype)
        self._lanes = self._width // self._dtype.itemsize
        self._padded = -(-self._n // self._lanes) * self._lanes
        self._in_order = in_order(instruction)
        self._batch = target.shape[:-2]
        self.scratches: list[Buffer] = []

    def by_blas(self, blas: Blas) -> list[Statement]:
        """Return the call of a library's function; nothing where none does it, or ours is faster."""
        m, n, k = self._m, self._n, self._k
        if not blas.pays(m, n, k, self._dtype.itemsize, self._width):
            return []
        addresses = {"a": self._left, "b": self._right, "c": self._target}
        call = blas.call(self.kind, m, n, k, *(address.strides for address in addresses.values()))
        parts = {name: self._start(address) for name, address in addresses.items()}
        return self._over_batch([Apply(call, parts)]) if call else []

    def by_tiles(self) -> tuple[Product, list[Statement]]:
        """Return the function in C that multiplies, and its call."""
        right, b_step, packing = self._packed()
        result, c_step, unpacking = self._unpacked()
        down, across = self._left.strides[-2:]
        sizes = self._m, self._n, self._k
        product = Product(*sizes, (down, across), b_step, c_step, self._dtype, self._width)
        parts = {"a": self._start(self._left), "b": right, "c": result}
        call = Apply(f"{product.name}({{a}}, {{b}}, {{c}});", parts)
        return product, self._over_batch([*packing, call, *unpacking])

    def _packed(self) -> tuple[Pointer, int, list[Statement]]:
        """Return where the right factor begins, the step between its rows, and the lines that copy it where
        its rows are not to be read as whole vectors."""
        right, k, n, padded = self._right, self._k, self._n, self._padded
        start, (row, column) = self._start(right), right.strides[-2:]
        if column == 1 and _takes_vectors(right, padded, write=False):
            return start, row, []
        packed = self._scratch("packed", k)
        parts = {"to": packed, "from": start}
        if column == 1:
            line = Apply(f"{{to}}[r * {padded} + q] = ({{from}})[r * {row} + q];", parts)
            # A row is read together with the beginning of the next, so that whole vectors are copied.
            whole = k - 1 if k and row >= padded - n else 0
            first = [_over(whole, padded, line)] if whole else []
            return packed, padded, [*first, _over(k, n, line, whole)]

        def transposed(to: str, source: str, rows: str) -> Apply:
            sizes = f"{rows}, {n}, {padded}, {row}, {column}"
            return Apply(f"copy_transposed_{self.kind}({to}, {source}, {sizes});", parts)

        if k * n < sharing.ELEMENTS:
            return packed, padded, [transposed("{to}", "{from}", str(k))]
        rows = f"{k} - r < {self._lanes} ? {k} - r : {self._lanes}"
        call = transposed(f"{{to}} + r * {padded}", f"{{from}} + r * {row}", rows)
        return packed, padded, [Loop("r", 0, k, [call], step=self._lanes, threads=True)]

    def _unpacked(self) -> tuple[Pointer, int, list[Statement]]:
        """Return where the result is written first, the step between its rows there, and the lines that copy
        it where its rows are not to be written as whole vectors."""
        target, padded = self._target, self._padded
        start, (row, column) = self._start(target), target.strides[-2:]
        over_next = self._in_order and target.is_whole() and target.buffer.spare >= padded - self._n
        if column == 1 and (over_next or _takes_vectors(target, padded, write=True)):
            return start, row, []
        result = self._scratch("result", self._m)
        line = f"({{to}})[r * {row} + q * {column}] = {{from}}[r * {padded} + q];"
        copy = _over(self._m, self._n, Apply(line, {"to": start, "from": result}))
        return result, padded, [copy]

    def _scratch(self, name: str, rows: int) -> Pointer:
        """Return new scratch memory for a matrix of as many columns as the result."""
        whole = f"{self._target.buffer.name}_{name}"
        self.scratches.append(scratch(whole, self._dtype, (rows, self._n), self._lanes, pad=True))
        return Pointer(self.scratches[-1])

    # -- the batch -------------------------------------------------------------------------------------------

    def _start(self, address: Address) -> Pointer:
        """Return where a matrix of the batch begins."""
        index = [counter(f"n{i}") if size != 1 else ZERO for i, size in enumerate(self._batch)]
        extra = len(self._batch) - (len(address.shape) - 2)
        return Pointer(address.buffer, address.at((*index[extra:], ZERO, ZERO)))

    def _over_batch(self, inner: list[Statement]) -> list[Statement]:
        """Return loops over the matrices of the batch."""
        for i, size in reversed([*enumerate(self._batch)]):
            inner = [Loop(f"n{i}", 0, size, inner)] if size != 1 else inner
        return inner


def _over(rows: int, columns: int, inner: Statement, first: int = 0) -> Loop:
    """Return a loop over the rows of a matrix and their elements."""
    threads = (rows - first) * columns >= sharing.ELEMENTS
    return Loop("r", first, rows, [Loop("q", 0, columns, [inner])], threads=threads)


def _takes_vectors(address: Address, row: int, write: bool) -> bool:
    """Return whether each row of a matrix, or of several, may be read or written as `row` elements."""
    n = address.shape[-1]
    starts = [
        address.offset,
        *(step for size, step in zip(address.shape, address.strides[:-1], strict=False) if size != 1),
    ]
    return row == n or address.buffer.has_room(row, n, starts, write)
