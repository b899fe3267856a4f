"""What `World` refuses, by name and with its line."""

from __future__ import annotations

import datetime
import functools
import io
import itertools
import logging
import os
import pathlib
import random
import re
import subprocess
import threading
import time
import types
import uuid
import weakref
from typing import Any

import numpy as np
import pytest
from world_scenes import module_of

from tinygrad_ninja import nn
from tinygrad_ninja.program.compile.guards.contents import MOST
from tinygrad_ninja.program.compile.guards.world import World

# -- what is refused -----------------------------------------------------------------------------------------

HERE = "written.py:{}: "
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "iterator": (
        "def step():\n x = 1\n return next(it)", {"it": iter([1])},
        "written.py:3: the global `it` is a list_iterator, which gives something else every time; give "
        "what it gives as an argument",
    ),
    "generator": (
        "def step(): return next(it)", {"it": (x for x in "a")},
        "`it` is a generator, which gives",
    ),
    "count": ("def step(): return next(it)", {"it": itertools.count()}, "`it` is a count, which gives"),
    "zip": ("def step(): return list(it)", {"it": zip("a")}, "`it` is a zip, which gives"),
    "file": ("def step(): f.write('a')", {"f": io.StringIO()}, "the global `f` is a file; "),
    "stdout": ("import sys\ndef step(): sys.stdout.write('a')", {"__": 0}, "`sys.stdout` "),
    "lock": (
        "def step():\n with lock: pass", {"lock": threading.Lock()},
        "written.py:2: the global `lock` is a l",
    ),
    "weakref": ("def step(): return r()", {"r": weakref.ref(pathlib.Path)}, "`r` is a weak reference"),
    "environ": (
        "import os\ndef step(): return os.environ['A']", {},
        "written.py:2: the global `os.environ` reads or changes what is outside of the program; read it",
    ),
    "getenv": ("import os\ndef step(): return os.getenv('A')", {}, "the global `os.getenv` reads or changes"),
    "time": (
        "import time\ndef step(): return time.time()", {},
        "written.py:2: the global `time.time` tells the time; give it as an argument",
    ),
    "from time": (
        "from time import perf_counter as t\ndef step(): return t()", {},
        "the global `t` tells the",
    ),
    "now": (
        "import datetime\ndef step(): return datetime.datetime.now()", {},
        "`datetime.datetime.now` tells",
    ),
    "now held": (
        "def step(): return now()", {"now": datetime.datetime.now},
        "the global `now` tells the time",
    ),
    "random": (
        "import random\ndef step(x):\n\n return x * random.random()", {},
        "written.py:4: the global `random.random` draws random numbers that compiled code can't draw; draw",
    ),
    "randint": ("from random import randint\ndef step(): return randint(0, 1)", {}, "`randint` draws random"),
    "Random": ("def step(): return r.random()", {"r": random.Random(0)}, "the global `r` draws random"),
    "random inside": ("def step():\n import random\n return random.random()", {}, "`random.random` draws"),
    "numpy random": ("import numpy as np\ndef step(): return np.random.rand()", {}, "`np.random.rand` draws"),
    "default_rng": (
        "import numpy as np\ndef step(): return np.random.default_rng(0)", {},
        "default_rng` draws",
    ),
    "Generator": ("def step(): return g.random()", {"g": np.random.default_rng(0)}, "the global `g` draws"),
    "RandomState": ("def step(): return g.rand()", {"g": np.random.RandomState(0)}, "the global `g` draws"),
    "held draw": ("def step(): return draw()", {"draw": np.random.default_rng(0).random}, "`draw` draws"),
    "secrets": ("import secrets\ndef step(): return secrets.token_hex()", {}, "`secrets.token_hex` draws"),
    "uuid": ("def step(): return u()", {"u": uuid.uuid4}, "the global `u` draws random numbers"),
    "print": (
        "def step(x):\n print(x)", {},
        "written.py:2: `print` has an effect that compiled code would not have; call it outside",
    ),
    "input": ("def step(): return input()", {}, "`input` has an effect"),
    "open": ("def step(): return open('a')", {}, "`open` reads or changes"),
    "eval": ("def step(): return eval('a')", {}, "`eval` is native code"),
    "exec": ("def step(): exec('a')", {}, "`exec` is native code"),
    "globals": ("def step(): return globals()", {}, "`globals` depends on more than its arguments"),
    "locals": ("def step(): return locals()", {}, "`locals` depends on more than its arguments"),
    "id": ("def step(x): return id(x)", {}, "`id` depends on more than its arguments"),
    "logging": ("import logging\ndef step(): logging.info('a')", {}, "`logging.info` has an effect"),
    "logger": (
        "def step(): log.info('a')", {"log": logging.getLogger("a")},
        "the global `log` has an effect",
    ),
    "warn": ("import warnings\ndef step(): warnings.warn('a')", {}, "`warnings.warn` has an effect"),
    "thread": ("import threading\ndef step(): threading.Thread()", {}, "`threading.Thread` depends on other"),
    "local": ("def step(): return t.x", {"t": threading.local()}, "the global `t` depends on other threads"),
    "ctypes": ("import ctypes\ndef step(): return ctypes.c_int(1)", {}, "`ctypes.c_int` is native code"),
    "np.load": ("import numpy as np\ndef step(): return np.load('a')", {}, "`np.load` reads or changes"),
    "path": ("def step(): return p.read_text()", {"p": pathlib.Path("a")}, "the global `p.read_text` reads"),
    "cache": (
        "def step(): return f(1)", {"f": functools.lru_cache(module_of)},
        "`f` keeps its results (lru_cache)",
    ),
    "large array": (
        "def step(x): return x + table", {"table": np.zeros(1000)},
        "written.py:1: the global `table` is a NumPy array of 8,000 bytes, which may be changed; make it a "
        "Tensor with torch.from_numpy, or give it as an argument",
    ),
    "objects": ("def step(): return t", {"t": np.array([None])}, "is a NumPy array of objects"),
    "bytearray": ("def step(): return t", {"t": bytearray(1)}, "is a bytearray, which can't be compared"),
    "memoryview": ("def step(): return t", {"t": memoryview(b"a")}, "is a memoryview, which can't"),
    "own reading": (
        "class T(list):\n def __iter__(self): return iter([])\nt = T()\ndef step(): return [*t]", {},
        "written.py:4: the global `t` is a T with its own __iter__; give what it holds as an argument",
    ),
    "ufunc": ("def step(x): return f(x)", {"f": np.frompyfunc(abs, 1, 1)}, "the global `f` is native code"),
    "void": ("def step(): return t", {"t": np.zeros(1, "i4,i4")[0]}, "is a void, which can't be compared"),
    "first import": ("def step():\n import antigravity_", {}, "the import `antigravity_` runs the module"),
    "in an object": (
        "def step(x):\n return c.layers[1].noise(x)",
        {"c": types.SimpleNamespace(layers=[0, types.SimpleNamespace(noise=random.Random(0).gauss)])},
        "written.py:2: the global `c.layers[1].noise` draws random numbers",
    ),
    "in a helper": (
        "import time\ndef helper():\n return time.time()\ndef step(): return helper()", {},
        "written.py:3: the global `time.time` tells the time",
    ),
    "in a method": (
        "import time\nclass T:\n def f(self):\n  return time.time()\nt = T()\ndef step(): return t.f()", {},
        "written.py:4: the global `time.time` tells the time",
    ),
    "many": (
        "def step(x): return names", {"names": ["a"] * (MOST + 1)},
        f"written.py:1: the global `names` leads to more than {MOST:,} objects, too many to compare before "
        "every call; give what is needed of it as an argument",
    ),
    "many lists": ("def step(x): return n", {"n": [[i] for i in range(MOST // 2)]}, "`n` leads to more than"),
    "module handed on": (
        "import random as r\ndef helper(m): return m.gauss(0, 1)\ndef step(): return helper(r)", {},
        "the global `r.gauss` draws random numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(name: str) -> None:
    source, names, sentence = REFUSED[name]
    module = module_of(source)
    vars(module).update(names)
    refusal = World(module.step).refusal
    assert sentence in refusal
    assert refusal.startswith("written.py:")


def check(world: World, sentence: str) -> None:
    """Raise AssertionError unless it is refused with a sentence that matches."""
    assert re.search(sentence, world.refusal), world.refusal


def test_a_closure_s_iterator_and_a_module_s_noise_are_refused_by_name() -> None:
    it = iter([1])

    def step() -> int:
        return next(it)

    check(World(step), r"refusals.py:\d+: `step`'s closure variable `it` is a")

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Tanh(), types.SimpleNamespace(noise=np.random.default_rng(0))]

        def forward(self, x: Any) -> Any:
            return x + self.layers[1].noise.standard_normal(3)  # type: ignore[union-attr]

    check(World(Noisy()), r"\.py:\d+: `self.layers\[1\].noise` draws random numbers")
    check(
        World(lambda model: model(1), [("model", Noisy())]),
        r"\.py:\d+: `model.layers\[1\].noise` draws random numbers",
    )


MAKING = """
import random
class T:
    def __init__(self): self.rate = random.random()
    def step(self): return self.rate
    def again(self): return type(self)()
t = T()
def read(): return t.rate
def make(): return T()
"""


def test_what_makes_an_object_is_followed_where_one_may_be_made() -> None:
    m = module_of(MAKING)
    assert World(m.read).holds()
    assert World(m.t.step).holds()
    for fn in (m.make, m.t.again):
        check(World(fn), r"written.py:4: the global `random.random` draws")


def test_pytorch_s_own_functions_are_refused() -> None:
    own = pytest.importorskip("torch")
    m = module_of("def step(x): return own.tanh(x)")
    m.own = own
    check(World(m.step), r"the global `own.tanh` is PyTorch's own; use this package's")
    m = module_of("def step(x): return own.ones(1)")
    m.own = own.float32
    assert World(m.step).holds()
    m.own = own.ones(1)
    check(World(m.step), "the global `own` is PyTorch's own")


def test_foreign_objects_are_refused() -> None:
    process = types.SimpleNamespace(run=subprocess.run)
    check(World(lambda: process.run(["a"])), r"`process.run` reads or changes what is outside")
    process = types.SimpleNamespace(re=re.compile("a").scanner("a"))
    check(World(lambda: process.re.match()), r"`process.re` is a SRE_Scanner, which can't be compared")
    check(World(lambda: os.path.exists("a")), r"`os.path.exists` reads or changes")  # noqa: PTH110
    check(World(lambda: time.sleep(1)), r"`time.sleep` tells the time")
