"""The dtypes that layers and losses take, and those that they refuse."""

from typing import Any

import pytest
from both import Case, assert_same, attempt


def integers(t: Any) -> Any:
    return t.arange(6).reshape(2, 3)


def floats(t: Any, dtype: str = "float32") -> Any:
    return t.arange(6.0).reshape(2, 3).to(getattr(t, dtype))


def ones(t: Any, dtype: str = "float32") -> Any:
    return t.ones(3, dtype=getattr(t, dtype))


def classes(t: Any) -> Any:
    return t.tensor([0, 2])


CASES: dict[str, Case] = {
    "ce smooth, of no weight": lambda t: t.nn.functional.cross_entropy(
        floats(t), classes(t), weight=t.tensor([0.0, 1.0, 0.0]), label_smoothing=0.1
    ),
    "ce smooth, weighted": lambda t: t.nn.functional.cross_entropy(
        floats(t), classes(t), weight=t.tensor([0.5, 1.0, 2.0]), label_smoothing=0.1
    ),
    "ce smooth, each": lambda t: t.nn.functional.cross_entropy(
        floats(t), t.tensor([0, -100]), label_smoothing=0.1, reduction="none"
    ),
    "ce": lambda t: t.nn.functional.cross_entropy(integers(t), classes(t)),
    "ce sm": lambda t: t.nn.functional.cross_entropy(integers(t), classes(t), label_smoothing=0.1),
    "ce prob": lambda t: t.nn.functional.cross_entropy(integers(t), floats(t)),
    "ce u8": lambda t: t.nn.functional.cross_entropy(floats(t), classes(t).to(t.uint8)),
    "ce i32": lambda t: t.nn.functional.cross_entropy(floats(t), classes(t).int()),
    "ce i16": lambda t: t.nn.functional.cross_entropy(floats(t), classes(t).to(t.int16)),
    "nll u8": lambda t: t.nn.functional.nll_loss(floats(t), classes(t).to(t.uint8)),
    "nll": lambda t: t.nn.functional.nll_loss(integers(t), classes(t)),
    "ce wd": lambda t: t.nn.functional.cross_entropy(floats(t), classes(t), weight=ones(t, "float64")),
    "nll wd": lambda t: t.nn.functional.nll_loss(floats(t), classes(t), weight=ones(t, "float64")),
    "ce wdsm": lambda t: t.nn.functional.cross_entropy(
        floats(t), classes(t), weight=ones(t, "float64"), label_smoothing=0.1
    ),
    "ce wi": lambda t: t.nn.functional.cross_entropy(floats(t), classes(t), weight=ones(t, "int64")),
    "mse": lambda t: t.nn.functional.mse_loss(integers(t), integers(t)),
    "mse n": lambda t: t.nn.functional.mse_loss(integers(t), integers(t), reduction="none"),
    "mse mixed": lambda t: t.nn.functional.mse_loss(floats(t), integers(t)),
    "mse mixed2": lambda t: t.nn.functional.mse_loss(floats(t), floats(t, "float64")),
    "gelu": lambda t: t.nn.functional.gelu(integers(t)),
    "gelut": lambda t: t.nn.functional.gelu(integers(t), approximate="tanh"),
    "relu": lambda t: t.nn.functional.relu(integers(t)),
    "ln": lambda t: t.nn.functional.layer_norm(integers(t), (3,)),
    "ln w": lambda t: t.nn.functional.layer_norm(floats(t, "float64"), (3,), ones(t)),
    "ln wb": lambda t: t.nn.functional.layer_norm(floats(t), (3,), ones(t), ones(t, "float64")),
    "ln h": lambda t: t.nn.functional.layer_norm(floats(t, "float16"), (3,), ones(t), ones(t)),
    "ln fh": lambda t: t.nn.functional.layer_norm(floats(t), (3,), ones(t, "float16"), ones(t, "float16")),
    "bn": lambda t: t.nn.functional.batch_norm(integers(t), ones(t), ones(t)),
    "bn tr": lambda t: t.nn.functional.batch_norm(integers(t), ones(t), ones(t), training=True),
    "bn d": lambda t: t.nn.functional.batch_norm(floats(t, "float64"), ones(t), ones(t)),
    "bn dtr": lambda t: t.nn.functional.batch_norm(floats(t, "float64"), ones(t), ones(t), training=True),
    "bn dw": lambda t: t.nn.functional.batch_norm(
        floats(t, "float64"), ones(t, "float64"), ones(t, "float64"), ones(t), ones(t)
    ),
    "bn dw2": lambda t: t.nn.functional.batch_norm(floats(t, "float64"), ones(t), ones(t), ones(t), ones(t)),
    "bn dno": lambda t: t.nn.functional.batch_norm(floats(t, "float64"), None, None, training=True),
    "bn dwno": lambda t: t.nn.functional.batch_norm(floats(t, "float64"), None, None, ones(t), training=True),
    "bn h": lambda t: t.nn.functional.batch_norm(floats(t, "float16"), ones(t), ones(t), ones(t), ones(t)),
    "bn hd": lambda t: t.nn.functional.batch_norm(floats(t), ones(t, "float64"), ones(t, "float64")),
    "BN1d": lambda t: t.nn.BatchNorm1d(3)(floats(t, "float64")),
    "LN": lambda t: t.nn.LayerNorm(3)(floats(t, "float64")),
    "dropout": lambda t: t.nn.functional.dropout(integers(t), 0.5),
    "dropout1": lambda t: t.nn.functional.dropout(integers(t), 1.0),
    "dropout0": lambda t: t.nn.functional.dropout(integers(t), 0.0),
    "dropoutE": lambda t: t.nn.functional.dropout(integers(t), 0.5, False),
    "softmax": lambda t: t.nn.functional.softmax(integers(t), 0),
    "normalize": lambda t: t.nn.functional.normalize(integers(t)),
    "emb": lambda t: t.nn.functional.embedding(classes(t), t.ones(2, 2, 2)),
    "emb1": lambda t: t.nn.functional.embedding(classes(t), t.ones(3)),
    "emb0": lambda t: t.nn.functional.embedding(classes(t), t.ones(())),
    "linear i": lambda t: t.nn.functional.linear(integers(t), t.ones(2, 3, dtype=t.int64)),
    "linear m": lambda t: t.nn.functional.linear(floats(t, "float64"), t.ones(2, 3)),
    "oh list": lambda t: t.nn.functional.one_hot([1, 2], 3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_dtypes_of_layers_and_losses(case: Case) -> None:
    def seeded(t: Any) -> Any:
        t.manual_seed(0)
        return [attempt(case, t)]

    assert_same(seeded, ulps=16, scaled=True)
