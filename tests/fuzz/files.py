"""Random damage to checkpoints: what is refused is refused in a line, costs little and executes nothing.

Even seeds change what the file says, under a checksum that is right; odd ones change its bytes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
import resource
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from command import call
from safetensors import safe_open
from safetensors.numpy import save as serialize

from tinygrad_ninja.makemore import checkpoint
from tinygrad_ninja.makemore.checkpoint import FORMAT
from tinygrad_ninja.makemore.data import DataError, read_words
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.makemore.run import CHECKPOINT, MODEL, Run, RunError
from tinygrad_ninja.makemore.settings import SettingsError
from tinygrad_ninja.makemore.training import TrainingError

MEGABYTES = 300
"""What a refusal may take."""

NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    60,
    100,
    200,
    10**3,
    10**5,
    10**6,
    10**9,
    2**31,
    2**32,
    2**63,
    2**64,
    10**30,
    10**4000,
]
VALUES: list[Any] = [
    *NUMBERS, 0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"), True, False, None, "", "x",
    "cpu", "gpt", "adamw", "/dev/zero", "\x1b]0;mine\x07", "\x9b31m", "\u202e", "\ud800", "\0", "a" * 10_000,
    [], {}, [None], [[]], {"": None}, {"step": None}, [1, 2.0], [[1, 1.0]], [[2, 1.0], [1, 2.0]],
]  # fmt: skip
DTYPES = [np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]
SIZES = {"embedding": 4, "hidden": 5, "layers": 1, "heads": 2}


@cache
def files() -> list[tuple[dict[str, Any], dict[str, np.ndarray], bytes]]:
    """Return the header, the tensors and the bytes of a model and a training of each kind."""
    made = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = folder / "names.txt"
        words.write_text("\n".join(read_words()[:60]), encoding="utf-8")
        for model, kind in MODELS.items():
            sizes = {size: n for size, n in SIZES.items() if getattr(kind.recipe, size)}
            options = {**sizes, "model": model, "data": str(words), "steps": 6, "batch": 4, "eval_every": 2}
            run = Run.start(folder / model, {**options, "early_stop": 2}, "cpu", eager=True)
            with run.open():
                steps = run.train()
                for _ in range(3):
                    next(steps)
                run.finish()
            for path in (run.folder / MODEL, run.folder / CHECKPOINT):
                with safe_open(path, framework="numpy") as file:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                    header = json.loads(file.metadata()[FORMAT])
                header["settings"]["data"] = None
                made.append((header, tensors, stored(header, tensors)))
    return made


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every dict and list within the value with each key or index that it has."""
    if isinstance(value, (dict, list)):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from places(item)


def changed(header: dict[str, Any], tensors: dict[str, np.ndarray], draw: random.Random) -> None:
    """Change one thing that the file says."""
    holder, key = draw.choice(list(places(header)))
    name = draw.choice(list(tensors))
    array = tensors[name]

    def put_value() -> None:
        holder[key] = copy.deepcopy(draw.choice(VALUES))

    def scale_number() -> None:
        if type(holder[key]) in (int, float):
            holder[key] = draw.choice([-1, 2, 10, 1000, 0.1]) * holder[key] + draw.choice([-1, 0, 1])

    def remove() -> None:
        holder.pop(key)

    def add() -> None:
        if isinstance(holder, dict):
            holder[draw.choice(["", "more", "\x1b", "lr", "step", "0"])] = draw.choice(VALUES)
        else:
            holder.insert(key, draw.choice(VALUES))

    def put_setting() -> None:
        settings = header.get("settings")
        if isinstance(settings, dict) and settings:
            settings[draw.choice(list(settings))] = draw.choice([*VALUES, *NUMBERS, *MODELS])

    def nest() -> None:
        for _ in range(draw.choice([3, 100, 300])):
            holder[key] = [holder[key]]

    def reshape() -> None:
        tensors[name] = draw.choice([array.reshape(-1), array[None], array.reshape(-1)[:-1], array.T.copy()])

    def retype() -> None:
        tensors[name] = array.astype(draw.choice(DTYPES))

    def renumber() -> None:
        tensors[name] = array.copy()
        if array.size:
            number = (
                draw.choice([0, 1, 255])
                if array.dtype.kind in "ui"
                else draw.choice([np.nan, np.inf, 3e38, -1])
            )
            tensors[name].reshape(-1)[draw.randrange(array.size)] = number

    def rename() -> None:
        tensors[draw.choice([name + "x", "more", "\x1b", "model/" + name])] = tensors.pop(name)

    def swap() -> None:
        other = draw.choice(list(tensors))
        tensors[name], tensors[other] = tensors[other], tensors[name]

    changes: list[Callable[[], None]] = [put_value, scale_number, remove, add, put_setting, put_setting, nest]
    changes += [reshape, retype, renumber, rename, swap]
    if header:
        draw.choice(changes)()


def stored(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    """Return the file of a header and tensors, with the checksum that they have."""
    header = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    header["sha256"] = digest.hexdigest()
    return bytes(serialize(tensors, metadata={FORMAT: json.dumps(header)}))


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with some of them changed, cut out, doubled or overwritten by others."""
    data = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(draw.choice([8, header, len(content)])) % max(1, len(data))
        match draw.randrange(5):
            case 0:
                data[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                del data[at : at + draw.choice([1, 8, 100, len(data)])]
            case 2:
                data[at:at] = data[at : at + draw.choice([1, 8, 100])]
            case 3:
                data[at:at] = draw.choice([b"[" * 2000, b"9" * 5000, b"\xff", b"\0" * 8, b'"', b"\x1b"])
            case 4:
                data[at : at + 8] = draw.choice([0, 1, 2**31, 2**63, 2**64 - 1]).to_bytes(8, "little")
    return bytes(data)


def content_of(seed: int) -> bytes:
    """Return the damaged file of a seed."""
    draw = random.Random(seed)
    header, tensors, content = draw.choice(files())
    if seed % 2:
        return damaged(content, draw)
    header, tensors = copy.deepcopy(header), dict(tensors)
    for _ in range(draw.choice([1, 1, 2, 3])):
        changed(header, tensors, draw)
    return stored(header, tensors)


def try_seed(seed: int) -> str:
    """Return what is wrong with how the file of the seed is treated, or an empty text."""
    content = content_of(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / CHECKPOINT
        path.write_bytes(content)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = call(folder, "sample", CHECKPOINT, "--count", "2")
        taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        lines = [*result.stdout.splitlines(), *result.stderr.splitlines()]
        if not all(line.isprintable() for line in lines):
            return f"# it printed {result.stdout + result.stderr!r}"
        if taken > MEGABYTES:
            return f"# it took {taken} MB: {result.stderr}"
        if result.returncode:
            told = result.returncode == 2 and result.stderr.startswith("error: ")
            one = len(result.stderr.splitlines()) == 1  # words may have been printed before
            return "" if told and one else f"# status {result.returncode}: {result.stderr}"
        return resumed(folder) if checkpoint.load(path).training is not None else ""


def resumed(folder: Path) -> str:
    """Return what is wrong with a training that goes on from a file that was not refused."""
    try:
        with warnings.catch_warnings(action="ignore"):  # its last digits differ from those of a compiled one
            run = Run.resume(folder, {}, Run.saved_mode(folder)[0], eager=True)
        with run.open(replaces=True):
            if run.result.settings.batch <= 10_000:
                next(run.train(), None)
    except (DataError, RunError, SettingsError, TrainingError) as error:
        return "" if "\n" not in str(error) else f"# it said {error}"
    return ""
