"""Random training steps, run eagerly, as C and as straight-line NumPy: what they return, change and raise."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import CompileWarning

from .program import CALLS, NAME, Program
from .runner import environment
from .steps import drawn

TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}
JITTER = {"float32": 2.0**-23, "float64": 2.0**-52}
RAISED = "what it raises"
JITTERS = 2, 10
"""How many runs in which rounding moves the numbers tell what it may change: more where these do not."""
ALLOWED = 300.0
"""By how many times what rounding was seen to change an element may differ."""
REFUSALS = [
    "a part of a Tensor is changed in place, which is not compiled",
    "a Tensor is changed in place through a view of it, which is not compiled",
    "a Tensor is used whose memory was changed in place since",
    "a Tensor is changed in place that shares its memory with another one",
    "reads a value out of a Tensor",
    "a number among the arguments is an exponent",
    "it keeps a Tensor that it computed",
    "the history of a Tensor that was there before is changed",
]
"""What compile refuses by name, and these programs do."""


@dataclass
class Outcome:
    """seen: by call and name, arrays or the class of an exception. said: the warnings."""

    seen: dict[tuple[int, str], Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def outcome(
    program: Program,
    backend: str | None,
    jitter: Jitter | None = None,
    then: Callable[[list[Any], int], None] = lambda results, call: None,
) -> Outcome:
    """Run the program some times, eagerly where there is no backend. then: what is done with the results of
    each call."""
    result = Outcome()
    held = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        step, arguments, kept = program.made(jitter)
        run = step if backend is None else torch.compile(step, backend=backend)
        for call in range(CALLS):
            given = arguments(call)
            if backend is None:
                given = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in given]
            try:
                returned = run(*given)
                for name, value in zip(program.results, returned, strict=True):
                    result.seen[call, name] = np.array(value.detach().numpy())
                    result.seen[call, f"whether {name} requires a gradient"] = value.requires_grad
                    held.append((call, name, value.detach()))
                then(returned, call)
            except Exception as error:
                result.seen[call, RAISED] = type(error).__name__
                break
            for name, value in kept.items():
                result.seen[call, name] = np.array(value.detach().numpy())
                gradient = value.grad
                result.seen[call, f"{name}.grad"] = None if gradient is None else np.array(gradient.numpy())
        for call, name, value in held:
            result.seen[call, f"{name}, held until the end"] = np.array(value.numpy())
    result.said = [str(each.message) for each in told if issubclass(each.category, CompileWarning)]
    return result


class Jitter:
    """Moves numbers as rounding may."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def _signs(self, shape: Any, dtype: Any) -> Any:
        """Return a unit in the last place of 1, of either sign."""
        return JITTER[dtype.name] * self.rng.choice([-1, 1], shape).astype(dtype)

    def __call__(self, value: Any) -> Any:
        """Return a Tensor with every element moved by a unit in its last place."""
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        return value * torch.from_numpy(np.asarray(1 + self._signs(value.shape, value.array.dtype)))

    def gradients(self, leaves: list[Any]) -> None:
        """Move the gradients of leaves by a unit in the last place of their largest element."""
        for leaf in leaves:
            if leaf.grad is not None:
                array = leaf.grad.numpy()
                largest = np.abs(array[np.isfinite(array)]).max(initial=0.0)
                array += (largest * self._signs(array.shape, array.dtype) * (array != 0)).astype(array.dtype)


def difference(have: Any, want: Any, moved: list[Any], signed: bool = True) -> str:
    """Return what differs, or nothing. moved: what rounding makes of `want`, some times. signed: whether
    the sign of a zero matters."""
    if not isinstance(want, np.ndarray) or not isinstance(have, np.ndarray):
        same = type(have) is type(want) and (have is None or have == want)
        told = ["an array" if isinstance(each, np.ndarray) else str(each) for each in (have, want)]
        return "" if same else " for ".join(told)
    if (have.shape, have.dtype) != (want.shape, want.dtype):
        return f"{have.dtype}{list(have.shape)} for {want.dtype}{list(want.shape)}"
    moved = [each for each in moved if isinstance(each, np.ndarray) and each.shape == want.shape]
    if want.dtype.kind != "f":
        wrong = have != want
        for each in moved:
            wrong &= each == want
    else:
        with np.errstate(all="ignore"):
            wrong = differing(have, want, moved, signed)
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{np.count_nonzero(wrong)} of {want.size} elements of {want.dtype}{list(want.shape)}, the first at "
        f"{place}: {have[place]!r} for {want[place]!r}"
    )


def differing(have: Any, want: Any, moved: list[Any], signed: bool) -> Any:
    """Return where two arrays of floats differ by more than rounding explains: in a number, in a sign of
    zero, or in being finite."""
    finite = np.isfinite(want)
    scale = max(1.0, float(np.abs(want[finite]).max(initial=0.0)))
    spread, settled = np.zeros(want.shape), np.ones(want.shape, bool)
    for each in moved:
        spread = np.fmax(spread, np.abs(each.astype(np.float64) - want))
        settled &= np.isfinite(each) == finite
        settled &= finite | (each == want) | (np.isnan(each) & np.isnan(want))
        settled &= (np.signbit(each) == np.signbit(want)) | (want != 0)
    spread = np.where(np.isfinite(spread), spread, 0)
    spread = np.maximum(spread, spread.mean()) if spread.size else spread
    tolerance = TOLERANCE[want.dtype.name] * scale + ALLOWED * spread
    close = np.where(finite, np.abs(have.astype(np.float64) - want) <= tolerance, have == want)
    close |= np.isnan(have) & np.isnan(want)
    if signed:
        close &= (np.signbit(have) == np.signbit(want)) | (want != 0) | (have != 0)
    return ~close & settled


def acceptable(sentence: str) -> bool:
    """Return whether it is a warning that compile may give of these programs."""
    return "is recorded again" in sentence or any(each in sentence for each in REFUSALS)


def disagreement(
    program: Program,
    outcome: Callable[..., Outcome] = outcome,
    acceptable: Callable[[str], bool] = acceptable,
) -> str:
    """Return what a backend does otherwise than eager code; nothing where all agree. outcome: how a program
    is run. acceptable: whether a warning may be given."""
    want = outcome(program, None)
    moved: list[Outcome] = []
    # -Σ and Σ- of zeros differ in their sign: a gradient is the one in eager code, and the other recorded.
    unsigned = program.unsigned | {line.name for line in program.body if "autograd.grad(" in line.text}
    for backend in ("c", "numpy"):
        have = outcome(program, backend)
        for sentence in have.said:
            if not acceptable(sentence) and not isinstance(want.seen.get((0, RAISED)), str):
                return f"{backend}: {sentence}"
        for key in sorted({**want.seen, **have.seen}, key=lambda key: key[1] != RAISED):
            signed = not unsigned & {*NAME.findall(key[1])} and not key[1].endswith(".grad")
            found = difference(have.seen.get(key), want.seen.get(key), [], signed)
            for count in JITTERS:  # a few runs may meet by chance where each was moved
                if not found:
                    break
                moved += [outcome(program, None, Jitter(seed)) for seed in range(len(moved), count)]
                others = [run.seen.get(key) for run in moved]
                found = difference(have.seen.get(key), want.seen.get(key), others, signed)
            if found:
                return f"{backend}, call {key[0]}: {key[1]}: {found}"
    return ""


def kind(found: str) -> str:
    """Return what is the same in two disagreements of one cause, as far as one sees."""
    return re.sub(r"v\d+|\d+|[^a-z ]", "", found.partition(" elements of ")[0])[:60]


def dies(program: Program) -> bool:
    """Return whether the program ends its process, or a sanitizer does."""
    command = [sys.executable, "-c", program.pasteable()]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    return ended.returncode < 0 or "Sanitizer" in ended.stderr or "runtime error:" in ended.stderr


def program_text(seed: int) -> str:
    """Return the step of a seed, which ends its process, as a script: made small, where that shows alone."""
    program = drawn(seed)
    return (program.smaller(dies, 60) if dies(program) else program).pasteable()


def try_seed(seed: int) -> str | None:
    """Return None where eager code, C and NumPy agree on the step of a seed; else the step, made small, and
    what differs."""
    program = drawn(seed)
    found = disagreement(program)
    if not found:
        return None
    wanted = kind(found)
    small = program.smaller(lambda each: kind(disagreement(each)) == wanted)
    return f"{small.pasteable()}# {disagreement(small)}\n"
