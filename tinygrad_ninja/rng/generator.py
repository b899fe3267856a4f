"""PyTorch's CPU stream of random numbers, drawn with NumPy alone.

The 32-bit words are those of the Mersenne Twister in `numpy.random`; this module computes numbers from them
as PyTorch does. Integers, permutations and sampled classes are PyTorch's exactly. Floats are, to the last
bit, those of PyTorch on Linux and an x86 processor with AVX2.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..arrays.dispatch import namespace_of
from ..arrays.fused import fused_multiply_add
from ..engine.hook import note_unrecorded, observers, observing
from ..engine.tensor import Tensor, wrap
from ..engine.tensor import device as Device
from ..engine.thread_state import free_when_forked, new_lock
from .box_muller import Array, box_muller, by_libm
from .in_order import in_memory_order_of

_F = TypeVar("_F", bound=Callable[..., Any])

_DEFAULT_SEED = 67280421310721  # PyTorch's (c10::detail default_rng_seed_val)
_TWISTER_SIZE = 624  # words in the state of MT19937

# The layout of torch.get_rng_state(): a C struct of 5056 bytes.
_STATE = np.dtype([
    ("seed", "<u8"),
    ("left", "<i4"),  # words until the next twist, plus one
    ("seeded", "<i4"),
    ("next", "<u8"),  # index of the next word
    ("words", "<u8", _TWISTER_SIZE),
    ("normal_x", "<f8"),  # unused by PyTorch, as are normal_rho and float_normal
    ("normal", "<f8"),
    ("normal_rho", "<f8"),
    ("normal_is_valid", "<i4"),
    ("padding", "V4"),
    ("float_normal", "V8"),
])  # fmt: skip

_INT64 = np.dtype(np.int64)


@lru_cache(maxsize=64)
def _as_word(number: int) -> Array:
    """Return the number as a 0-dimensional array, which NumPy combines with a small array in half the
    time."""
    return np.array(number, np.uint64)


def observed(method: _F) -> _F:
    """Let an observer of the thread draw in the place of the method, and threads take turns."""

    @wraps(method)
    def call(self: Generator, *args: Any, **options: Any) -> Any:
        with self.lock:
            if observers and (observer := observing()):
                return observer.draw(self, method, args, options)
            return method(self, *args, **options)

    return call  # type: ignore[return-value]


def _untempered(words: Array) -> Array:
    """Return the twister's state from the words that it has given: each tempering undone, the last one first
    (Matsumoto and Nishimura, "Mersenne Twister", 1998)."""
    x: Array = words.astype(np.uint32)
    x = x ^ (x >> 18)
    x = x ^ ((x << 15) & np.uint32(0xEFC60000))
    y = x.copy()
    for _ in range(4):  # seven more bits are known each time
        y = x ^ ((y << 7) & np.uint32(0x9D2C5680))
    z = y.copy()
    for _ in range(2):  # and eleven here
        z = y ^ (z >> 11)
    return z


class Generator:
    """A stream of random numbers, as `torch.Generator`: the same seed gives the same numbers.

    Numbers are drawn on the CPU and moved to the device they are asked for: every device sees the same ones.
    Generator("cuda") is PyTorch's own, which draws different ones: see `torch_generator`. Threads may draw at
    the same time: each number goes to one of them.

    lock: held while numbers are drawn.
    """

    lock: Any

    def __new__(cls, device: str | Device = "cpu") -> Generator:
        if cls is Generator and Device(device).type == "cuda":
            from .torch_generator import TorchGenerator as cls  # noqa: N813 - which imports this module
        self = object.__new__(cls)
        self.lock = new_lock()
        return self

    def __init__(self, device: str | Device = "cpu") -> None:
        self.device = Device(device)
        self._twister = np.random.MT19937()
        free_when_forked(self._twister.lock)
        self.manual_seed(_DEFAULT_SEED)

    @observed
    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream from `seed` and return self.

        As in PyTorch, a negative seed counts back from 2**64 and the words depend on the low 32 bits alone.
        Raises RuntimeError if `seed` is no int, ValueError if it is outside [-2**63, 2**64).
        """
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise RuntimeError(f"manual_seed expected an int, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"manual_seed expected a seed in [-2**63, 2**64), but got {seed}")
        self._seed = seed % 2**64
        seeded = np.random.RandomState(seed % 2**32).get_state(legacy=False)
        self._restart(seeded["state"])
        self._spare_normal: float | None = None
        return self

    @observed
    def seed(self) -> int:
        """Restart the stream from a seed that the operating system draws, and return that seed."""
        return self.manual_seed(int.from_bytes(os.urandom(8), "little")).initial_seed()

    @observed
    def initial_seed(self) -> int:
        """Return the seed that the stream started from, in [0, 2**64)."""
        return self._seed

    @observed
    def get_state(self) -> Tensor:
        """Return the state of the stream: a uint8 Tensor, (5056,), that `torch.Generator.set_state` takes
        too."""
        twister = self._twister.state["state"]
        words, position = twister["key"], self._position
        # The first word is the seed until the first twist, and until then PyTorch's state has next = 0.
        untwisted = position == _TWISTER_SIZE and words[0] == self._seed % 2**32
        state = np.zeros(1, _STATE)
        state["seed"] = self._seed
        state["left"] = _TWISTER_SIZE + 1 - position
        state["seeded"] = 1
        state["next"] = 0 if untwisted else position
        state["words"] = words
        if self._spare_normal is not None:
            state["normal_is_valid"], state["normal"] = 1, self._spare_normal
        return wrap(state.view(np.uint8))

    @observed
    def set_state(self, new_state: Tensor | Array) -> Generator:
        """Continue from a state that `get_state` returned, here or in PyTorch, and return self.

        Raises TypeError if it is no uint8 Tensor or array, RuntimeError if it is no state of this generator.
        """
        data = new_state.array if isinstance(new_state, Tensor) else new_state
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
            raise TypeError("a generator's state must be a uint8 Tensor or array on the CPU")
        if data.size != _STATE.itemsize:
            raise RuntimeError(f"a generator's state has {_STATE.itemsize} bytes, not {data.size}")
        state = np.frombuffer(data.tobytes(), _STATE)[0]
        position = _TWISTER_SIZE + 1 - int(state["left"])
        untwisted = position == _TWISTER_SIZE and state["next"] == 0
        in_range = 1 <= position <= _TWISTER_SIZE and (state["next"] == position or untwisted)
        if state["seeded"] != 1 or not in_range:
            raise RuntimeError("invalid Mersenne Twister state: its counters contradict each other")
        words = state["words"].astype(np.uint32)
        self._restart({"key": words, "pos": position})
        self._seed = int(state["seed"])
        self._spare_normal = float(state["normal"]) if state["normal_is_valid"] else None
        return self

    def clone_state(self) -> Generator:
        """Return a second generator that gives the same numbers as this one from here on."""
        return type(self)(self.device).set_state(self.get_state())

    __copy__ = clone_state

    def __reduce__(self) -> Any:
        """Return how `deepcopy` and pickle make it anew: from its state."""
        return type(self), (str(self.device),), self.get_state().array

    __setstate__ = set_state

    def _restart(self, state: Any) -> None:
        """Continue from a state of NumPy's twister.

        The words that it holds are drawn at once, and then taken from memory: a small draw of NumPy's costs
        several times as much as a slice.
        """
        self._position = state["pos"]
        self._twister.state = {"bit_generator": "MT19937", "state": state}
        self._block = np.zeros(_TWISTER_SIZE, np.uint64)
        self._block[self._position :] = self._twister.random_raw(_TWISTER_SIZE - self._position)
        self._first = self._block, state["key"]

    def mark(self) -> Any:
        """Return where the stream is, for `return_to`. It costs next to nothing, unlike `get_state`."""
        return self._block, self._position, self._spare_normal

    def is_at(self, mark: Any) -> bool:
        """Return whether the stream is where it was when `mark` was called."""
        block, position, spare = mark
        return block is self._block and (position, spare) == (self._position, self._spare_normal)

    def return_to(self, mark: Any) -> None:
        """Continue from where the stream was when `mark` was called."""
        block, self._position, self._spare_normal = mark
        if block is not self._block:
            first, key = self._first
            state: Any = {"key": key if block is first else _untempered(block), "pos": _TWISTER_SIZE}
            self._twister.state = {"bit_generator": "MT19937", "state": state}
            self._block = block

    def _words(self, n: int) -> Array:
        """Return the next `n` words of the stream, of 32 bits each, as uint64."""
        start, end = self._position, self._position + n
        if end <= _TWISTER_SIZE:
            self._position = end
            return self._block[start:end]
        blocks = -(-(end - _TWISTER_SIZE) // _TWISTER_SIZE)
        words = np.concatenate((self._block[start:], self._twister.random_raw(blocks * _TWISTER_SIZE)))
        self._block, self._position = words[-_TWISTER_SIZE:], end - blocks * _TWISTER_SIZE
        return words[:n]

    def _words64(self, n: int) -> Array:
        """Return `n` uint64 values, each of two words of the stream, the high one first."""
        words = self._words(2 * n)
        return (words[0::2] << np.uint64(32)) | words[1::2]

    @observed
    def uniform(
        self, n: int, dtype: npt.DTypeLike = np.float32, low: float = 0.0, high: float = 1.0
    ) -> Array:
        """Return `n` values of [low, high), from the low 24 bits of a word each, or for float64 the low 53 of
        two.

        The array has the shape (n,) and the dtype `dtype`. Raises RuntimeError if low > high or the range is
        no finite number of the dtype, NotImplementedError unless `dtype` is float32 or float64.
        """
        real = _real(dtype, "uniform")
        if not 0 <= high - low <= np.finfo(real).max:
            raise RuntimeError(
                f"uniform needs a finite range with low <= high, but got low={low}, high={high}"
            )
        bits = np.finfo(real).nmant + 1
        words = self._words(n) if real is np.float32 else self._words64(n)
        unit = ((words & np.uint64(2**bits - 1)) * 2.0**-bits).astype(real)
        if (low, high) == (0.0, 1.0):
            return unit
        return fused_multiply_add(unit, real(high) - real(low), real(low))

    @observed
    def normal(
        self,
        n: int,
        dtype: npt.DTypeLike = np.float32,
        mean: float = 0.0,
        std: float = 1.0,
        contiguous: bool = True,
    ) -> Array:
        """Return `n` values of the normal distribution, by the Box-Muller transform; (n,), of dtype `dtype`.

        Sixteen or more are computed in blocks of 16; the last block overlaps the one before where n is no
        multiple. Fewer, or those for memory that is not `contiguous`, are computed in float64, two from each
        pair of uniforms, and the second is kept for the next call. Raises RuntimeError if `std` is negative,
        NotImplementedError unless `dtype` is float32 or float64.
        """
        real = _real(dtype, "normal")
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
        if n < 16 or not contiguous:
            single = np.array([self._next_normal() for _ in range(n)], np.float64)
            return fused_multiply_add(single, np.float64(std), np.float64(mean)).astype(real)
        full_blocks = n - n % 16
        values = np.empty(n, real)
        values[:full_blocks] = box_muller(self.uniform(n, real)[:full_blocks])
        if full_blocks < n:
            values[-16:] = box_muller(self.uniform(16, real))
        return fused_multiply_add(values, real(std), real(mean))

    def _next_normal(self) -> float:
        """Return one standard normal value: the spare one of the last call, or the first of a new pair."""
        if self._spare_normal is not None:
            value, self._spare_normal = self._spare_normal, None
            return value
        u1, u2 = self.uniform(2, np.float64).tolist()
        radius, angle = math.sqrt(-2 * math.log1p(-u2)), 2 * math.pi * u1
        self._spare_normal = radius * math.sin(angle)
        return radius * math.cos(angle)

    @observed
    def exponential(self, n: int, dtype: npt.DTypeLike = np.float32, rate: float = 1.0) -> Array:
        """Return `n` values of the exponential distribution: -log(1 - u) / rate, computed in float64."""
        return (-1 / rate * by_libm(math.log1p, -self.uniform(n, np.float64))).astype(dtype)

    @observed
    def integers(self, low: int, high: int, n: int) -> npt.NDArray[np.int64]:
        """Return `n` int64 values of [low, high): a word modulo high - low, two words from 2**28 on.

        Raises RuntimeError unless low < high, ValueError where either is no int64.
        """
        if not low < high:
            raise RuntimeError(f"random integers need low < high, but got low={low} >= high={high}")
        if low < -(2**63) or high >= 2**63:
            raise ValueError(f"random integers need bounds that are int64, but got low={low}, high={high}")
        span = high - low
        words = self._words(n) if span < 2**28 else self._words64(n)
        values: npt.NDArray[np.int64] = (words % _as_word(span)).view(_INT64)
        return values + low if low else values

    @observed
    def permutation(self, n: int) -> npt.NDArray[np.int64]:
        """Return the integers of [0, n) in random order, int64, by the shuffle of Fisher and Yates from the
        front.

        Raises RuntimeError if `n` is negative, NotImplementedError from 214,748,364 on, where PyTorch's
        shuffle differs.
        """
        if n < 0:
            raise RuntimeError(f"randperm needs n >= 0, but got n={n}")
        if n >= (2**32 - 1) // 20:
            raise NotImplementedError(
                f"randperm of {n} elements: fewer than {(2**32 - 1) // 20} are supported"
            )
        order = list(range(n))
        offsets = self._words(max(n - 1, 0)) % np.arange(n, 1, -1, dtype=np.uint64)
        for i, offset in enumerate(offsets.tolist()):
            order[i], order[i + offset] = order[i + offset], order[i]
        return np.array(order, np.int64)

    def multinomial(self, p: Array, num_samples: int, replacement: bool = False) -> npt.NDArray[np.int64]:
        """Return `num_samples` classes for each row of weights `p`, which need not sum to 1.

        p: (classes,) or (rows, classes), float32 or float64. Result: int64, (num_samples,) or (rows,
        num_samples).

        One sample, and samples without replacement, are the classes where p / q is largest, with q
        exponential: q / p are the times of a race that each class wins with its probability; as in PyTorch
        those of weight 0 come last. Several samples with replacement look uniforms up in the cumulative
        distribution.

        Raises RuntimeError for another shape, for an entry that is negative, infinite or NaN, a row that sums
        to zero, and for more samples than classes without replacement; NotImplementedError for another dtype.
        """
        _real(p.dtype, "multinomial")
        if p.ndim not in (1, 2):
            raise RuntimeError(f"multinomial needs probabilities of 1 or 2 dimensions, but got {p.ndim}")
        if num_samples <= 0:
            raise RuntimeError(f"multinomial needs num_samples > 0, but got {num_samples}")
        xp, last = namespace_of(p), p.ndim - 1
        require_all((p >= 0) & (p < math.inf), "multinomial: a probability is negative, infinite or NaN")
        require_all(xp.any(p, (last,), False), "multinomial: the probabilities of a row sum to zero")
        if not replacement and num_samples > p.shape[-1]:
            raise RuntimeError(
                f"multinomial cannot draw {num_samples} classes of {p.shape[-1]} without replacement"
            )
        if num_samples == 1 or not replacement:
            shares = p / in_memory_order_of(self.exponential(p.size, p.dtype), p)
            order = xp.argmax(shares, last, True) if num_samples == 1 else xp.argsort(-shares, last)
            classes: npt.NDArray[np.int64] = order[..., :num_samples]
            return classes
        note_unrecorded("multinomial of several with replacement", "draw outside")
        cumulative = np.cumsum(p, axis=-1, dtype=p.dtype)
        cumulative = np.atleast_2d(cumulative / cumulative[..., -1:])
        u = self.uniform(len(cumulative) * num_samples, np.float64).reshape(-1, num_samples)
        samples = [np.searchsorted(*row) for row in zip(cumulative, u, strict=True)]
        return np.array(samples, np.int64).reshape(*p.shape[:-1], num_samples)


def require_all(holds: Array, message: str) -> None:
    """Raise RuntimeError unless a condition holds for each element, also where the values are recorded."""
    if observers and (observer := observing()) and observer.unknown(holds):
        fails = namespace_of(holds).astype(holds == 0, np.dtype(np.int64))
        holds = observer.check(fails, 0, 1, RuntimeError, message) == 0
    if not holds.all():
        raise RuntimeError(message)


def _real(dtype: npt.DTypeLike, name: str) -> type[np.float32] | type[np.float64]:
    """Return float32 or float64, the type that `dtype` means; NotImplementedError for any other."""
    scalar_type = np.dtype(dtype).type
    if scalar_type not in (np.float32, np.float64):
        raise NotImplementedError(f"{name} needs a dtype of float32 or float64, not {np.dtype(dtype)}")
    return scalar_type
