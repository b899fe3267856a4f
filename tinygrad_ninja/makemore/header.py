"""What the header of a checkpoint may say: every field with its type and its range.

In the header None stands for a tensor, whose shape and dtype are checked, as all the rest is, before a tensor
is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .. import Generator, isfinite
from .data import Vocabulary, is_visible
from .fields import (
    Anything,
    FieldError,
    Items,
    Kind,
    Number,
    Numbers,
    OneOf,
    Record,
    Row,
    Slot,
    Text,
    Whole,
)
from .models import Model
from .settings import DEVICES, FIELDS, FLAG, MOST, MOST_EVALUATIONS, Settings, SettingsError
from .training import WAYS

VERSION = 2
"""The version of the format, raised whenever an older reader would misread a file."""

VERSIONS = Whole(1, MOST)

HEADER = Record(
    {
        "version": VERSIONS,
        "settings": Record(dict.fromkeys(FIELDS, Anything())),  # Settings.check says what each may be
        "characters": Text(
            0x110000,
            lambda text: is_visible(text) and text == Vocabulary(text).characters,
            "the boundary and then letters that can be printed, in their order",
        ),
        "words_sha256": Text(
            64, lambda text: bool(re.fullmatch("[0-9a-f]{64}", text)), "64 hexadecimal digits"
        ),
        "training": Anything(),  # a Record that depends on the others: `check_training`
    }
)

STATES = {"sgd": (), "adamw": ("exp_avg", "exp_avg_sq")}
"""What each optimizer keeps of a parameter, in the parameter's shape; `step` counts beside it, if there is
any."""

ROOT = "header/training"
Held = Callable[[str], Slot | None]
MOST_RANKS = 1000
MOST_BYTES = 2**40


def check_header(header: Any) -> tuple[Settings, Vocabulary]:
    """Return the settings and the vocabulary of a header. Raises FieldError for all that is not as HEADER."""
    HEADER.check(header, "header")
    settings = Settings(**header["settings"])
    try:
        settings.check()
    except SettingsError as error:
        raise FieldError(f"header/settings: {error}") from error
    return settings, Vocabulary(header["characters"])


def check_training(
    training: Any, settings: Settings, model: Model, layout: Mapping[str, Slot], held: Held
) -> None:
    """Raise FieldError where the state of a training, as `Run` saves it, can't be one of this model.

    layout: the tensors of the model's `state_dict`; held: what the file holds under the name of a tensor.
    """

    def numbers(*shape: int, dtype: str = "F32") -> Kind:
        """Return the kind of a tensor."""
        return Numbers(Slot(shape, dtype), held, f"{ROOT}/")

    if not isinstance(training, dict):
        raise FieldError(f"{ROOT} is no JSON object")
    step: Any = training.get("step")
    Whole(0, settings.steps).check(step, f"{ROOT}/step")
    evaluations: Any = training.get("dev_losses")
    evaluation = Row((Whole(1, step), Number(-1e30, 1e30)))
    Items(evaluation, MOST_EVALUATIONS).check(evaluations, f"{ROOT}/dev_losses")
    evaluated = [at for at, _ in evaluations]
    if evaluated != sorted(set(evaluated)):
        raise FieldError(f"{ROOT}/dev_losses is not in the order of the steps")
    stream = numbers(*Generator().get_state().shape, dtype="U8")
    best = {name: numbers(*slot.shape, dtype=slot.dtype) for name, slot in layout.items()}
    groups = json.loads(json.dumps(settings.build_optimizer(model).state_dict()["param_groups"]))
    states: dict[str, Kind] = {}
    for i, parameter in enumerate(model.parameters()):
        kept = {name: numbers(*parameter.shape) for name in STATES[settings.optimizer]}
        states[str(i)] = Record({"step": numbers(), **kept} if kept else {})
    record: dict[str, Kind] = {
        "step": Anything(),  # checked above, as are the next
        "dev_losses": Anything(),
        "done": FLAG,
        "losses": numbers(step),
        "best": Record(best if training.get("best") else {}),
        "waited": Whole(0, max(0, len(evaluated) - 1)),
        "generator": stream,
        "other_generators": Items(stream, MOST_RANKS),
        "optimizer": Record(
            {
                "state": Record(states, frozenset(states)),
                "param_groups": Row(tuple(_group(group) for group in groups)),
            }
        ),
        "metrics_bytes": Whole(0, MOST_BYTES),
        "device": OneOf(*DEVICES),
        "eager": FLAG,
        "steps_by": OneOf("", *WAYS),
    }
    Record(record, frozenset({"other_generators", "steps_by"})).check(training, ROOT)


def check_numbers(training: Mapping[str, Any]) -> None:
    """Raise FieldError where the tensors of a training hold what no training can have come to."""
    if not isfinite(training["losses"]).all():
        raise FieldError(f"{ROOT}/losses are not all numbers")
    for i, kept in training["optimizer"]["state"].items():
        if kept and kept["step"].item() != training["step"]:
            raise FieldError(f"{ROOT}/optimizer/state/{i}/step is not training.step")
    for stream in (training["generator"], *training.get("other_generators", ())):
        try:
            Generator().set_state(stream)
        except RuntimeError as error:
            raise FieldError(f"{ROOT} has a generator in an {error}") from error


def _group(group: dict[str, Any]) -> Record:
    """Return the kind of an optimizer's group, of which all but the rate follows from the settings."""
    return Record({**{name: OneOf(value) for name, value in group.items()}, "lr": FIELDS["lr"]})
