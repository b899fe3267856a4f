"""From C to a function that can be called: the compiler, its flags, and the cache of what was compiled.

The flags keep NaN, infinities and signed zeros: `-fno-math-errno` and `-fno-trapping-math` only say that
nothing looks at errno and at the processor's exception flags, and sums are vectorised because the emitted
loops ask for it themselves (`omp simd`), so that nothing of -ffast-math is needed. A product and a sum are
rounded each for itself, as in eager code: x² - mean(x²) of one row is 0, where a fused operation would leave
what x² was rounded by. The matrix products alone ask for fused operations.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ...api.threads import get_num_threads
from .c_source import CSource
from .sharing import COUNT, DEFINITION, REGION, is_shared

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
    NoCompilerError where there is none."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        command = shlex.split(name)
        if command and shutil.which(command[0]):
            return tuple(command)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    raise NoCompilerError("there is no C compiler: install gcc or clang, or `pip install ziglang`")


class Target(NamedTuple):
    """The compiler's command with the flags that it takes, and the macros it defines: these tell it, and this
    processor, from others."""

    command: list[str]
    macros: str


@lru_cache(maxsize=1)
def target() -> Target:
    """Return the compiler's command and macros for this processor. Raise NoCompilerError where the compiler
    fails."""
    x86 = X86 if platform.machine().lower() in ("x86_64", "amd64") else ()
    for more in (x86, ()):
        command = [*compiler(), *FLAGS, *more]
        (probe,) = _run([*command, "-dM", "-E", "-x", "c", os.devnull])
        if probe.returncode == 0:
            return Target(command, probe.stdout)
    raise NoCompilerError(f"{compiler()[0]} failed: {probe.stderr.strip()[:500]}")


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


def _run(*commands: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Run commands side by side. Raise NoCompilerError where one can't be run."""
    processes: list[subprocess.Popen[str]] = []
    ends = time.monotonic() + 300
    try:
        for command in commands:
            pipe = subprocess.PIPE
            processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **_OWN_GROUP))
        said = [process.communicate(timeout=max(0, ends - time.monotonic())) for process in processes]
        return [
            subprocess.CompletedProcess(command, process.returncode, *texts)
            for command, process, texts in zip(commands, processes, said, strict=True)
        ]
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompilerError(f"{commands[0][0]} can't be run: {error}") from None
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def cache_folder() -> Path:
    """Return the user's own folder for compiled steps: $TINYGRAD_NINJA_CACHE, or the platform's place for
    caches."""
    chosen = os.environ.get("TINYGRAD_NINJA_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tinygrad_ninja" / "compiled"


def _succeed(results: list[subprocess.CompletedProcess[str]]) -> None:
    for result in results:
        if result.returncode != 0:
            raise NoCompilerError(f"{compiler()[0]} failed: {result.stderr.strip()[:2000]}")


def _compile(units: list[str], command: list[str], library: Path) -> None:
    """Compile the files of a source to a library, which is written beside its place and moved there: another
    process sees all of it or nothing. Raise NoCompilerError where it can't be compiled."""
    # Not a name of tempfile's: another thread may be recording, and would take it for a number it drew.
    scratch = library.parent / secrets.token_hex(16)
    scratch.mkdir(mode=0o700)
    try:
        built, maths = scratch / library.name, [] if sys.platform == "win32" else ["-lm"]
        files = [scratch / f"step{i}.c" for i in range(len(units))]
        for file, unit in zip(files, units, strict=True):
            file.write_text(unit, encoding="utf-8")
        if len(files) > 1:
            _succeed(_run(*([*command, "-c", str(file), "-o", f"{file}.o"] for file in files)))
            files = [Path(f"{file}.o") for file in files]
        _succeed(_run([*command, *map(str, files), "-o", str(built), *maths]))
        try:
            built.replace(library)
        except OSError:
            if not library.exists():  # Windows refuses where another process has the same library open
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _place(source: str, command: list[str]) -> Path:
    """Return where the library lies in the cache that a command makes of a source: by the hash of both, and
    of the compiler and the processor."""
    identity = "\n".join([source, *command, target().macros, platform.platform()])
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{name}{'.dll' if sys.platform == 'win32' else '.so'}"


def _load(library: Path) -> Any:
    """Return a library. If its threads are the first of OpenMP's here, they sleep where they wait: otherwise
    they would spin, on processors that another process may need. A choice of the user's own stays."""
    chosen = os.environ.get(WAITING)
    os.environ.setdefault(WAITING, "passive")
    try:
        loaded = ctypes.CDLL(str(library))
        if hasattr(loaded, _ASKED):  # gcc's OpenMP has read the choice, clang's does when it is first asked
            getattr(loaded, _ASKED)()
        return loaded
    finally:
        if chosen is None:
            os.environ.pop(WAITING, None)


@lru_cache(maxsize=1)
def has_openmp() -> bool:
    """Return whether the compiler and this system have OpenMP: clang may come without its library."""
    probe = f"{DEFINITION}\nvoid probe(void) {{\n{REGION}\n  {COUNT} = 1;\n}}\n"
    command = [*target().command, OPENMP]
    library = _place(probe, command)
    try:
        if not library.exists():
            _compile([probe], command, library)
        return hasattr(_load(library), _ASKED)
    except (NoCompilerError, OSError):
        return False


def build(source: CSource) -> Any:
    """Return the library that `source` compiles to, from the cache where it is there already. As many
    compilers work on it side by side as there may be threads. Without OpenMP one thread runs what several
    would share. Raise NoCompilerError where it can't be compiled."""
    command, text = target().command, str(source)
    shared = is_shared(text) and has_openmp()
    if shared:
        command = [*command, OPENMP]
    library = _place(text, command)
    if not library.exists():
        _compile(source.units(get_num_threads()), command, library)
    return _load(library) if shared else ctypes.CDLL(str(library))
