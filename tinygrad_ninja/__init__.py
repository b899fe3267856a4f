"""tinygrad_ninja: an autodiff engine to read, under PyTorch's names.

`import tinygrad_ninja as torch` runs the code of the makemore lectures. The table of operations is in `ops`.
"""

import sys as _sys

if _sys.argv[:1] == ["-m"] and "tinygrad_ninja" in _sys.orig_argv:  # `python -m tinygrad_ninja` begins here
    import tinygrad_ninja_command as _command

    _command.begin_quietly()

from importlib import import_module as _import_module
from math import e, inf, nan, pi
from typing import Any as _Any

from . import amp, autograd, backends, cuda, func, linalg, nn, optim, random, utils
from .amp import autocast, get_autocast_dtype, is_autocast_enabled
from .api import OFFERED as _OFFERED
from .api import threads as _threads
from .api.determinism import are_deterministic_algorithms_enabled, use_deterministic_algorithms
from .api.missing import explain as _explain
from .api.output import with_out as _with_out
from .api.switches import get_float32_matmul_precision, set_float32_matmul_precision
from .api.threads import get_num_threads, set_num_threads
from .arrays.dtypes import *  # noqa: F403 - the dtypes are listed there
from .engine.attributes import (
    contiguous_format,
    get_default_device,
    memory_format,
    preserve_format,
    set_default_device,
)
from .engine.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .engine.inference import is_inference_mode_enabled
from .engine.tensor import Size, Tensor, device
from .engine.value import Value
from .func import vmap
from .rng.generator import Generator

__version__ = "0.1.0"

globals().update(_with_out(_OFFERED))


# What few programs need, and takes a while to import: from which module it comes.
_LATER = {
    "compile": ".program.compile", "compiler": ".compiler", "derive": ".program",
    "from_torch": ".interop", "to_torch": ".interop",
    "load": ".utils.saving", "save": ".utils.saving",
    "load_ipython_extension": ".interop.import_hook", "unload_ipython_extension": ".interop.import_hook",
}  # fmt: skip


def __getattr__(name: str) -> _Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in _LATER:
        module = _import_module(_LATER[name], __name__)
        return getattr(module, name, module)
    raise AttributeError(_explain(__name__, name, globals()))


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])
