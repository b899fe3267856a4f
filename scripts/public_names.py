"""The public names of the package: what the manual's reference lists, each with where it is defined."""

import inspect
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import tinygrad_ninja
from tinygrad_ninja import Tensor
from tinygrad_ninja.api import OFFERED
from tinygrad_ninja.api.forms import ALIASES
from tinygrad_ninja.nn import Module

AREAS = {
    "Make Tensors": "creation new_tensors ranges shared_memory converting",
    "Random numbers": "draws generator",
    "On each element": "arithmetic bounds elementary closeness",
    "Sums, means and what is cumulative": "sums statistics cumulative distances",
    "Extremes, order and sets": "extremes sorting sets",
    "Matrices and products": "matrices matrix_products einstein",
    "Shapes": "reshaping rearranging joining combining",
    "Parts and places": "selection scattering",
    "Properties and settings": "layout numeric_types printing tensor",
}
"""The modules of the package's functions, by the areas in which the reference lists these."""

ON_OTHER_PAGES = ("inplace", "basic", "elementwise_losses", "nonlinear", "norms", "windows")
"""The modules of functions that stand on the pages of Tensor and of `nn.functional`."""

MODULES = [
    "tinygrad_ninja.nn",
    "tinygrad_ninja.nn.init",
    "tinygrad_ninja.nn.utils",
    "tinygrad_ninja.nn.utils.rnn",
    "tinygrad_ninja.nn.functional",
    "tinygrad_ninja.optim",
    "tinygrad_ninja.optim.lr_scheduler",
    "tinygrad_ninja.amp",
    "tinygrad_ninja.autograd",
    "tinygrad_ninja.autograd.functional",
    "tinygrad_ninja.func",
    "tinygrad_ninja.linalg",
    "tinygrad_ninja.utils.data",
    "tinygrad_ninja.utils.tensorboard",
    "tinygrad_ninja.serialization",
    "tinygrad_ninja.interop",
    "tinygrad_ninja.check",
    "tinygrad_ninja.micrograd",
    "tinygrad_ninja.compiler",
    "tinygrad_ninja.cuda",
    "viz",
]
"""The modules whose names the reference lists."""


@dataclass(frozen=True)
class PublicName:
    """A name that users import, its value, and the path of the definition that the reference shows."""

    path: str
    value: Any
    definition: str

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition(".")[2]


def function_areas() -> dict[str, dict[str, list[str]]]:
    """Return the functions of each area by name, each with its other names.

    KeyError for a function whose module is in no area.
    """
    area_of = {module: area for area, modules in AREAS.items() for module in modules.split()}
    others = defaultdict(list)
    for other, name in ALIASES.items():
        others[name].append(other)
    areas: dict[str, dict[str, list[str]]] = {area: {} for area in AREAS}
    for name, value in OFFERED.items():
        module = value.__module__.rpartition(".")[2]
        if callable(value) and module not in ON_OTHER_PAGES and name not in ALIASES:
            areas[area_of[module]][name] = others[name]
    return areas


def functions() -> list[PublicName]:
    """Return the functions of the package itself, but for those of other pages."""
    listed = [name for names in function_areas().values() for name in names]
    package = tinygrad_ninja.__name__
    return [PublicName(f"{package}.{name}", OFFERED[name], f"{package}.{name}") for name in listed]


def settings() -> list[PublicName]:
    """Return the other functions and classes of the package itself."""
    package = tinygrad_ninja.__name__
    values = {name: getattr(tinygrad_ninja, name) for name in dir(tinygrad_ninja) if name not in OFFERED}
    return [
        PublicName(f"{package}.{name}", value, defined(value))
        for name, value in values.items()
        if name[0] != "_" and callable(value)
    ]


def methods() -> list[PublicName]:
    """Return the attributes of Tensor, and its methods that are no functions of the package."""
    return [
        PublicName(
            f"tinygrad_ninja.Tensor.{name}", inspect.getattr_static(Tensor, name), f"{defined(Tensor)}.{name}"
        )
        for name in dir(Tensor)
        if name[0] != "_" and (name not in OFFERED or name.endswith("_"))
    ]


def module_methods() -> list[PublicName]:
    """Return the methods that every layer has."""
    return [
        PublicName(f"tinygrad_ninja.nn.Module.{name}", value, f"{defined(Module)}.{name}")
        for name, value in inspect.getmembers(Module)
        if name[0] != "_" and callable(value)
    ]


def members(module: str) -> list[PublicName]:
    """Return the functions and classes that a module offers; those defined in it, where it lists none."""
    owner = resolve_name(module)
    names = getattr(owner, "__all__", None) or [
        name for name, value in vars(owner).items() if getattr(value, "__module__", "") == owner.__name__
    ]
    values = {name: getattr(owner, name) for name in names if name[0] != "_"}
    return [
        PublicName(f"{module}.{name}", value, defined(value))
        for name, value in values.items()
        if callable(value)
    ]


def defined(value: Any) -> str:
    """Return the path where a function or class is defined; of a function of the package, where it is."""
    name = getattr(value, "__name__", "")
    if OFFERED.get(name) is value and any(name in names for names in function_areas().values()):
        return f"tinygrad_ninja.{name}"
    return f"{value.__module__}.{value.__qualname__}"


def public_names() -> Iterator[PublicName]:
    """Yield every public name."""
    yield from functions()
    yield from settings()
    yield from methods()
    yield from module_methods()
    for module in MODULES:
        yield from members(module)
