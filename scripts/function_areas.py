"""The areas in which the manual's reference lists the package's functions."""

from collections import defaultdict

from tinygrad_ninja.api import OFFERED
from tinygrad_ninja.api.forms import ALIASES

AREAS = {
    "Make Tensors": "creation new_tensors ranges shared_memory converting",
    "Random numbers": "draws generator",
    "On each element": "arithmetic elementary closeness",
    "Sums, means and what is cumulative": "sums statistics cumulative distances",
    "Extremes, order and sets": "extremes sorting sets",
    "Matrices and products": "matrices matrix_products einstein",
    "Shapes": "reshaping rearranging joining",
    "Parts and places": "selection scattering",
    "Properties and settings": "layout numeric_types printing tensor",
}
"""The modules of the functions of each area."""

ELSEWHERE = ("inplace", "basic", "elementwise_losses", "nonlinear", "norms", "windows")
"""The modules of functions that stand on other pages: those of Tensor and of `nn.functional`."""


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
        if callable(value) and module not in ELSEWHERE and name not in ALIASES:
            areas[area_of[module]][name] = others[name]
    return areas
