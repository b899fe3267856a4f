"""Where compiled libraries are kept: in a folder of the user's own, bounded, from which only what is whole is
loaded.

A library's name says what it was compiled from and the hash of its bytes: one that was cut off, emptied or
exchanged is not loaded (the system would end the process) but compiled again. It is written elsewhere, to the
disk, and moved to its place, so that another process, or one after a crash, finds all of it or nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..refusals import warn_once

MOST_BYTES = 256 * 2**20
"""How much a folder holds; what was not used for longest goes first."""
ABANDONED = 3600
"""After so many seconds nobody works in a scratch folder any more: a compiler is given minutes."""
_DAY = 86400
_SUFFIX = ".dll" if sys.platform == "win32" else ".so"
_LIBRARY = re.compile(rf"[0-9a-f]{{32}}-([0-9a-f]{{64}}){re.escape(_SUFFIX)}")
_SCRATCH = re.compile(r"building-[0-9a-f]{32}")


def load(identity: str, make: Callable[[Path], bytes]) -> Any:
    """Return the library of that identity, from the first folder that serves; warn once where that is not the
    first of all.

    make: returns the bytes of the library, which it compiles in the folder that it is given, or raises
    OSError where that has no room. Raise OSError where no folder serves.
    """
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    content, refused = b"", []
    for place in places():
        try:
            folder = own(place)
            file = _kept(folder, name)
            if file is None:
                with _scratch(folder) as scratch:
                    content = content or make(scratch)
                    file = _keep(folder, name, content, scratch)
            library = ctypes.CDLL(str(file))
        except OSError as error:
            reason = error.strerror or str(error).rpartition(": ")[2]  # without the whole path
            refused.append(f"not {str(place)!r} ({reason})")
            continue
        if refused:
            warn_once(f"compiled steps are kept in {str(folder)!r}, {', '.join(refused)}")
        return library
    raise OSError(f"there is no folder for compiled steps: {', '.join(refused)}")


def places() -> Iterator[Path]:
    """Yield the folders for compiled steps, the best one first: $TINYGRAD_NINJA_CACHE, the platform's place
    for caches, and one among the temporary files."""
    if chosen := os.environ.get("TINYGRAD_NINJA_CACHE"):
        yield Path(chosen)
    base, variable = "~/.cache", "XDG_CACHE_HOME"
    if sys.platform == "win32":
        base, variable = "~/AppData/Local", "LOCALAPPDATA"
    elif sys.platform == "darwin":
        base, variable = "~/Library/Caches", ""
    # Without a home "~" is left as it is, no absolute path.
    yield Path(os.environ.get(variable) or os.path.expanduser(base), "tinygrad_ninja", "compiled")  # noqa: PTH111
    # Not of tempfile's: another thread may be recording, and would take a name for a number it drew. A single
    # folder: one within another's folder could be exchanged.
    temporary = os.environ.get("TEMP" if sys.platform == "win32" else "TMPDIR") or "/tmp"
    yield Path(temporary, f"tinygrad_ninja-{_user()}")


def own(folder: Path) -> Path:
    """Return the folder, made where there is none. Raise OSError where its path is relative, where it is
    another user's, or where others may write to it: they could put code there."""
    if not folder.is_absolute():
        raise OSError("not an absolute path")
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # ctypes can't read what the loader says of it
        raise OSError("its name is no UTF-8") from None
    for part in (*reversed(folder.parents), folder):
        part.mkdir(mode=0o700, exist_ok=True)
    folder = folder.resolve()
    if sys.platform == "win32":  # which keeps the folders of users apart itself
        return folder
    status = folder.stat()
    if status.st_uid != _user():
        raise PermissionError("it belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("others may write to it")
    for parent in folder.parents:
        if parent.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
            raise PermissionError(f"others may write to {str(parent)!r}")
    return folder


def _user() -> int:
    """Return the number of the user whose rights this process has."""
    return 0 if sys.platform == "win32" else os.geteuid()


def _kept(folder: Path, name: str) -> Path | None:
    """Return the library of that name, if it is there and as it was written; remove what is not."""
    for file in folder.glob(f"{name}-*"):
        known, status = _LIBRARY.fullmatch(file.name), file.lstat()
        if known is None or not stat.S_ISREG(status.st_mode):
            continue
        if hashlib.sha256(file.read_bytes()).hexdigest() != known[1]:
            file.unlink(missing_ok=True)
            continue
        if time.time() - status.st_mtime > _DAY:  # the time of its last use, to the day
            with suppress(OSError):
                os.utime(file)
        return file
    return None


def _keep(folder: Path, name: str, content: bytes, scratch: Path) -> Path:
    """Write a library, and return its file."""
    file = folder / f"{name}-{hashlib.sha256(content).hexdigest()}{_SUFFIX}"
    written = scratch / file.name
    with written.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        written.replace(file)
    except OSError:
        if not file.is_file():  # Windows refuses where another process has the same library open
            raise
    _sweep(folder, file)
    if sys.platform != "win32":
        entries = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entries)
        finally:
            os.close(entries)
    return file


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder to compile in, and remove it in the end."""
    scratch = folder / f"building-{secrets.token_hex(16)}"
    scratch.mkdir(mode=0o700)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep(folder: Path, newest: Path) -> None:
    """Remove what processes that were killed have left, and the libraries beyond the bound, but for the
    newest."""
    libraries = []
    for file in folder.iterdir():
        with suppress(OSError):  # another process may have removed it
            status = file.lstat()
            if _SCRATCH.fullmatch(file.name) and time.time() - status.st_mtime > ABANDONED:
                shutil.rmtree(file, ignore_errors=True)
            elif _LIBRARY.fullmatch(file.name):
                libraries.append((file == newest, status.st_mtime, status.st_size, file))
    total = sum(size for _, _, size, _ in libraries)
    for is_newest, _, size, file in sorted(libraries):
        if total <= MOST_BYTES or is_newest:
            break
        with suppress(OSError):  # Windows keeps what is in use
            file.unlink()
            total -= size
