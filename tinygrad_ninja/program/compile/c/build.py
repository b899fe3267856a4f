"""From C to a function that can be called: the compiler and its flags.

The flags keep NaN, infinities and signed zeros: `-fno-math-errno` and `-fno-trapping-math` only say that
nothing looks at errno and at the processor's exception flags, and sums are vectorised because the emitted
loops ask for it themselves (`omp simd`), so that nothing of -ffast-math is needed. A product and a sum are
rounded each for itself, as in eager code: x² - mean(x²) of one row is 0, where a fused operation would leave
what x² was rounded by. The matrix products alone ask for fused operations.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from ....api.threads import processors
from . import library_cache
from .c_source import CSource
from .sharing import COUNT, DEFINITION, REGION

PRELUDE = Path(__file__).with_name("prelude.h")
FLAGS = (
    "-O3", "-std=gnu11", "-march=native", "-fPIC", "-shared", "-fopenmp-simd",
    "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-w",
)  # fmt: skip
X86 = ("-mprefer-vector-width=512", "-mno-red-zone")
"""gcc 12 keeps whole vectors in the red zone, at addresses that it takes for aligned and that are not."""
OPENMP = "-fopenmp"
WAITING = "OMP_WAIT_POLICY"
_ASKED = "omp_get_max_threads"


class NoCompilerError(RuntimeError):
    """There is no C compiler here, or it can't compile what it is given."""


@lru_cache(maxsize=1)
def compiler() -> tuple[str, ...]:
    """Return the command that compiles C: $CC, or the system's cc, gcc or clang, or ziglang's. Raise
    NoCompilerError where there is none, or $CC is no command."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        try:
            command = shlex.split(name)
        except ValueError as error:
            raise NoCompilerError(f"$CC, {name!r}, is not a command: {error}") from None
        if command and shutil.which(command[0]):
            return tuple(command)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    raise NoCompilerError("there is no C compiler: install gcc or clang, or `pip install ziglang`")


class Target(NamedTuple):
    """The compiler's command with the flags that it takes, and the macros that it and the prelude define:
    these tell it, and this processor, from others."""

    command: list[str]
    macros: str


@lru_cache(maxsize=1)
def target() -> Target:
    """Return the compiler's command and macros for this processor. Raise NoCompilerError where the compiler
    fails."""
    x86 = X86 if platform.machine().lower() in ("x86_64", "amd64") else ()
    for more in (x86, ()):
        command = [*compiler(), *FLAGS, *more]
        (probe,) = _run([[*command, "-dM", "-E", "-x", "c", str(PRELUDE)]])
        if probe.returncode == 0:
            return Target(command, probe.stdout)
    raise _failed(probe)


@lru_cache(maxsize=1)
def macro_names() -> frozenset[str]:
    """Return the names that C replaces by something else; none where the compiler fails."""
    try:
        return frozenset(re.findall(r"^#define (\w+)", target().macros, re.MULTILINE))
    except NoCompilerError:
        return frozenset()


def vector_bytes() -> int:
    """Return how many bytes one vector register holds."""
    macros = target().macros
    return 64 if "__AVX512F__" in macros else 32 if "__AVX__" in macros else 16


def has_half() -> bool:
    """Return whether the compiler has a type of floating point numbers of 16 bits."""
    return "__FLT16_MAX__" in target().macros


# Ctrl-C is to reach this program only, not the compiler: the program decides what becomes of the step.
_OWN_GROUP: dict[str, Any] = {"process_group": 0}
if sys.platform == "win32":
    _OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

_GUARD = """
exec 3<&0
"$@" </dev/null 3<&- & compiler=$!
{ read -r _; kill -9 0; } <&3 >/dev/null 2>&1 & guard=$!
exec 3<&-
wait $compiler; status=$?
kill $guard
exit $status
"""
"""Runs a command whose whole group of processes ends when the input does, of which this program alone has the
other end: however this program ends."""
_SHELL = Path("/bin/sh")


def _run(commands: list[list[str]], temporary: Path | None = None) -> list[subprocess.CompletedProcess[str]]:
    """Run compilers side by side. temporary: the folder for their own files in between. Raise NoCompilerError
    where one can't be run."""
    if guarded := sys.platform != "win32" and _SHELL.exists():
        commands = [[str(_SHELL), "-c", _GUARD, "guard", *command] for command in commands]
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)) if temporary is not None else {}
    reading, writing = os.pipe()
    processes: list[subprocess.Popen[str]] = []
    ends = time.monotonic() + 300
    try:
        for command in commands:
            processes.append(  # noqa: PERF401 - those that run are to be ended if another can't be run
                subprocess.Popen(
                    command, stdin=reading if guarded else subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True, errors="replace", env={**os.environ, **places},
                    **_OWN_GROUP,
                )
            )  # fmt: skip
        texts = [process.communicate(timeout=max(0, ends - time.monotonic())) for process in processes]
        return [
            subprocess.CompletedProcess(process.args, process.returncode, *text)
            for process, text in zip(processes, texts, strict=True)
        ]
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompilerError(f"{compiler()[0]} can't be run: {error}") from None
    finally:
        os.close(reading)
        os.close(writing)  # which ends those that are guarded
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _failed(*results: subprocess.CompletedProcess[str]) -> NoCompilerError:
    """Return the error that says what the compilers have said, if anything."""
    said = "".join(result.stderr for result in results).strip()[:2000]
    return NoCompilerError(f"{compiler()[0]} failed{': ' if said else ''}{said}")


def _compile(command: list[str], source: CSource | str, scratch: Path) -> bytes:
    """Return the library that C compiles to, in a folder for what comes in between. Raise OSError where that
    has no room, NoCompilerError where the compiler fails for another reason."""
    files = [source] if isinstance(source, str) else source.units(processors())
    texts, built = [scratch / f"step{i}.c" for i in range(len(files))], scratch / "step.library"
    for text, file in zip(texts, files, strict=True):
        text.write_text(file, encoding="utf-8")
    command = [*command, "-x", "c"]  # a compiler of C++ would take it for C++
    results = []
    if len(texts) > 1:
        objects = [text.with_suffix(".o") for text in texts]
        pairs = zip(texts, objects, strict=True)
        results += _run([[*command, "-c", str(text), "-o", str(o)] for text, o in pairs], scratch)
        command, texts = command[:-2], objects
    if not any(result.returncode for result in results):
        maths = [] if sys.platform == "win32" else ["-lm"]
        results += _run([[*command, *map(str, texts), "-o", str(built), *maths]], scratch)
    if not built.exists():
        (scratch / "room").write_bytes(bytes(2**20 + 8 * sum(map(len, files))))  # raises, if that is why
        raise _failed(*results)
    return built.read_bytes()


def _library(source: CSource | str, command: list[str]) -> Any:
    """Return the library that a command makes of C, from the cache where it is there already: it is found by
    the whole text, the command and the processor."""
    identity = "\n".join([str(source), *command, target().macros, platform.platform()])
    try:
        return library_cache.load(identity, partial(_compile, command, source))
    except OSError as error:
        raise NoCompilerError(str(error)) from None


@contextmanager
def _passive() -> Iterator[None]:
    """If the threads of a library loaded inside are the first of OpenMP's here, let them sleep where they
    wait: otherwise they would spin, on processors that another process may need. A choice of the user's own
    stays."""
    chosen = os.environ.get(WAITING)
    os.environ.setdefault(WAITING, "passive")
    try:
        yield
    finally:
        if chosen is None:
            os.environ.pop(WAITING, None)


def _sharing_library(source: CSource | str) -> Any:
    """Return a library whose loops several threads share."""
    with _passive():
        library = _library(source, [*target().command, OPENMP])
        if hasattr(library, _ASKED):  # gcc's OpenMP has read the choice, clang's does when it is first asked
            getattr(library, _ASKED)()
        return library


@lru_cache(maxsize=1)
def has_openmp() -> bool:
    """Return whether the compiler and this system have OpenMP: clang may come without its library."""
    probe = f"{DEFINITION}\nvoid probe(void) {{\n{REGION}\n  {COUNT} = 1;\n}}\n"
    try:
        return hasattr(_sharing_library(probe), _ASKED)
    except NoCompilerError:
        return False


def build(source: CSource | str, threads: bool = False) -> Any:
    """Return the library that C compiles to, from the cache where it is there already. As many compilers work
    on it side by side as there are processors. threads: whether some share anything in it; without OpenMP one
    runs that alone. Raise NoCompilerError where it can't be compiled, or kept nowhere."""
    if threads and has_openmp():
        return _sharing_library(source)
    return _library(source, target().command)
