"""`Film`: a training as a page that plays it: loss, parameters, and which class each place belongs to."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_ninja import Tensor
from tinygrad_ninja.engine.value import Value
from tinygrad_ninja.nn import Module

from ..numbers import numbers
from .writing import Page, html_path, write_page

STYLES = ("page.css", "controls.css", "inspector.css", "film.css")
SCRIPTS = ("elements.js", "numbers.js", "heatmap.js", "film.js")
MARGIN = 0.15
"""How much of the points' extent is shown beside them."""


class Film:
    """The frames of a training, one for each `take`, and the page that plays them.

    parameters: a Module, a network of micrograd's, or Tensors, Values and nested lists of Values by their
        names.
    points, labels: what is classified, (n, 2), and the class of each, above 0 or not. score: a function of a
        list of points that returns a score for each, a Tensor, or Values or numbers; above 0 is one class.
    grid: into how many places each side of the picture of the classes is divided.

    Raises ValueError where points, labels and score are not given together, or do not fit together.
    """

    def __init__(
        self,
        parameters: Any,
        *,
        points: Any = None,
        labels: Any = None,
        score: Callable[[list[list[float]]], Any] | None = None,
        grid: int = 32,
    ) -> None:
        if len({points is None, labels is None, score is None}) > 1:
            raise ValueError("points, labels and score are given together: the film shows how they fit")
        self._parameters = _by_name(parameters)
        self._score, self._grid = score, grid
        self._points = np.zeros((0, 2)) if points is None else _array(points)
        self._labels = np.zeros(0) if labels is None else _array(labels)
        if self._points.ndim != 2 or self._points.shape != (self._labels.size, 2):
            raise ValueError(
                f"points of shape {self._points.shape} and {self._labels.size} labels: (n, 2) and n are "
                f"needed"
            )
        self._losses: list[float] = []
        self._captions: list[str] = []
        self._frames: list[list[NDArray[Any]]] = []
        self._scores: list[NDArray[Any]] = []

    def take(self, loss: Any, caption: str = "") -> None:
        """Add a frame: the loss, the parameters as they are, and the scores that they give.

        caption: a text to show with it, such as the accuracy. Raises ValueError where `score` returns too few
        numbers, or too many.
        """
        self._losses.append(float(_array(loss)))
        self._captions.append(caption)
        self._frames.append([_array(parameter) for parameter in self._parameters.values()])
        if self._score is not None:
            scores = _array(self._score(self._places()))
            if scores.size != self._grid**2:
                raise ValueError(f"score returned {scores.size} numbers for {self._grid**2} points")
            self._scores.append(scores)

    def page(self, path: str | Path = "training.html") -> Page:
        """Write the page, one file that needs no network, and return its path, which a notebook shows as the
        page itself.

        Raises ValueError where it does not end in .html or there is no frame, and OSError where it cannot be
        written.
        """
        path = html_path(path)
        if not self._losses:
            raise ValueError("there is no frame: take() one after each step")
        parameters = [
            {"name": name, **_map([frame[i] for frame in self._frames])}
            for i, name in enumerate(self._parameters)
        ]
        held: dict[str, Any] = {
            "losses": [loss if np.isfinite(loss) else None for loss in self._losses],
            "captions": self._captions,
            "parameters": parameters,
        }
        if self._score is not None:
            square = (self._grid, self._grid)
            held |= {
                "scores": _map([scores.reshape(square) for scores in self._scores]),
                "box": self._box().tolist(),
                "points": self._points.tolist(),
                "labels": (self._labels > 0).tolist(),
            }
        return write_page(path, "film.html", STYLES, SCRIPTS, held)

    def _box(self) -> NDArray[Any]:
        """Return what is shown of the plane: [[left, right], [bottom, top]]."""
        low, high = self._points.min(axis=0), self._points.max(axis=0)
        beside = MARGIN * (high - low)
        return np.column_stack([low - beside, high + beside])

    def _places(self) -> list[list[float]]:
        """Return the points of the grid, the middle of each cell, line by line from the top."""
        middles = (np.arange(self._grid) + 0.5) / self._grid
        (left, right), (bottom, top) = self._box()
        across, down = left + middles * (right - left), top - middles * (top - bottom)
        return [[x, y] for y in down.tolist() for x in across.tolist()]


def _by_name(parameters: Any) -> Mapping[str, Any]:
    """Return the parameters by name; those of a network of micrograd's as a matrix for each layer."""
    if isinstance(parameters, Mapping):
        return parameters
    if isinstance(parameters, Module):
        return dict(parameters.named_parameters())
    if hasattr(parameters, "layers"):
        return {
            f"layers[{i}]": [neuron.parameters() for neuron in layer.neurons]
            for i, layer in enumerate(parameters.layers)
        }
    return {"parameters": list(parameters.parameters())}


def _array(given: Any) -> NDArray[Any]:
    """Return a Tensor, a Value, a number, or a nest of them, as an array of float64."""
    if isinstance(given, Tensor):
        return numbers(given.detach().array).astype(np.float64)
    if isinstance(given, Value):
        return np.array(given.data)
    if isinstance(given, Iterable) and not isinstance(given, np.ndarray):
        return np.array([_array(part) for part in given])
    return np.asarray(given, np.float64)


def _map(frames: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """Return the frames of a matrix as heat maps: height, width, and all cells, one frame after the other."""
    matrices = np.stack([frame.reshape(-1, frame.shape[-1] if frame.ndim else 1) for frame in frames])
    cells = base64.b64encode(matrices.astype("<f4").tobytes()).decode()
    return {"height": matrices.shape[1], "width": matrices.shape[2], "cells": cells}
