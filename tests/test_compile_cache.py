"""The cache of compiled steps: files that are damaged, folders that don't serve, compilers that don't work,
processes that are killed, and how much is kept."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import linux, posix
from compiled_steps import run, surroundings

from tinygrad_ninja.program.compile.c import build, library_cache

pytestmark = [posix, pytest.mark.slow]

STEP = """
    import tinygrad_ninja as torch

    w = torch.arange(50.0).requires_grad_()

    def loss():
        w.grad = None
        value = ((w / 50).tanh() * w[:2].sum()).sum()
        value.backward()
        return value.detach() + w.grad.sum()

    def twice():
        return (w.detach() * 2).sum()

    steps = [torch.compile(f) for f in (loss, twice)]
    for f, step in zip((loss, twice), steps):
        for _ in range(3):
            assert abs(step().item() / f().item() - 1) < 1e-5
    print(*(step.explain().split("compiled (")[1].split(")")[0] for step in steps))
"""


def runs(backend: str, result: subprocess.CompletedProcess[str], *warning: str) -> None:
    """Both steps ran compiled, and there was one warning, with these words, or none."""
    assert (result.returncode, result.stdout) == (0, f"{backend} {backend}\n"), result.stderr
    assert result.stderr.count("Warning: ") == bool(warning), result.stderr
    for words in warning:
        assert words in result.stderr


def libraries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def cut_off(file: Path) -> None:
    os.truncate(file, 4096)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def garbage(file: Path) -> None:
    file.write_bytes(random.Random(1).randbytes(20_000))


def exchange(file: Path) -> None:
    """Put another library there, which can be loaded and has nothing of the step's."""
    source = file.with_suffix(".c")
    source.write_text("int another(void) { return 1; }\n", encoding="utf-8")
    subprocess.run([*build.target().command, source, "-o", file], check=True)
    source.unlink()


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


# -- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [cut_off, exchange, empty, garbage, flip])
def test_a_damaged_library_is_compiled_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    cache = str(tmp_path / "cache")
    runs("c", run(STEP, TINYGRAD_NINJA_CACHE=cache))
    files = libraries(tmp_path / "cache")
    whole = [file.read_bytes() for file in files]
    assert len(files) == 2
    for file in files:
        damage(file)
    runs("c", run(STEP, TINYGRAD_NINJA_CACHE=cache))
    assert libraries(tmp_path / "cache") == files
    assert [file.read_bytes() for file in files] == whole


def test_a_library_that_is_whole_is_loaded_where_there_is_no_room_for_more(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    runs("c", run(STEP, TINYGRAD_NINJA_CACHE=cache))
    runs("c", run(STEP, preexec=small_files, TINYGRAD_NINJA_CACHE=cache))


# -- folders -------------------------------------------------------------------------------------------------


def small_files() -> None:
    """Let the program that is about to start write no file of more than 4 KiB."""
    import resource  # which Windows has not

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.parametrize(
    "variable",
    [
        "TINYGRAD_NINJA_CACHE",
        "XDG_CACHE_HOME",
        "HOME",
        "TMPDIR",
    ],
)
def test_relative_paths_are_refused(tmp_path: Path, variable: str) -> None:
    """An empty variable counts as none."""
    home, temporary, elsewhere = tmp_path / "home", tmp_path / "tmp", tmp_path / "elsewhere"
    for folder in (home, temporary, elsewhere):
        folder.mkdir()
    variables = {
        "TINYGRAD_NINJA_CACHE": "",
        "XDG_CACHE_HOME": "",
        "HOME": str(home),
        "TMPDIR": str(temporary),
    }
    if variable == "TMPDIR":
        variables |= {"TINYGRAD_NINJA_CACHE": "here", "XDG_CACHE_HOME": "here"}
        backend, words = "numpy", "there is no folder for compiled steps: not 'here' (not an absolute path)"
    else:
        backend, words = "c", "(not an absolute path)"
    runs(backend, run(STEP, folder=elsewhere, **variables | {variable: "here"}), words)
    assert not [*elsewhere.iterdir()]
    kept = [*home.rglob("*.so"), *temporary.rglob("*.so")]
    assert len(kept) == (2 if backend == "c" else 0)


@linux
def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """ctypes would raise an error at what the loader says of it."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    result = run(STEP, TINYGRAD_NINJA_CACHE=folder, XDG_CACHE_HOME=str(tmp_path))
    runs("c", result, "(its name is no UTF-8)")
    assert libraries(tmp_path / "tinygrad_ninja" / "compiled")


def open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def anothers(folder: Path) -> None:
    folder.mkdir()
    try:
        os.chown(folder, 4242, -1)
    except PermissionError:
        pytest.skip("only root may give a folder to another user")


def within_an_open_one(folder: Path) -> None:
    folder.mkdir()
    folder.parent.chmod(0o777)


def a_file(folder: Path) -> None:
    folder.touch()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (open_to_others, "others may write to it"),
        (within_an_open_one, "others may write to "),
        (anothers, "it belongs to another user"),
        (a_file, "File exists"),
    ],
)
def test_a_folder_that_is_not_the_users_own_is_not_used(
    tmp_path: Path, make: Callable[[Path], None], why: str
) -> None:
    (tmp_path / "parent").mkdir()
    cache, home = tmp_path / "parent" / "cache", tmp_path / "home"
    make(cache)
    result = run(STEP, TINYGRAD_NINJA_CACHE=str(cache), XDG_CACHE_HOME=str(home))
    runs("c", result, f"compiled steps are kept in '{home}", f"not '{cache}' ({why}")
    assert not [*cache.glob("*")]
    assert len(libraries(home / "tinygrad_ninja" / "compiled")) == 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("size=16k", "No space left on device"),
        ("size=4m,noexec", "failed to map segment"),
        ("size=4m,ro", "Read-only file system"),
    ],
)
def test_a_file_system_that_does_not_serve(tmp_path: Path, options: str, why: str) -> None:
    """Full, read-only, or one from which no program may be run: another folder, and where it is the only one,
    NumPy."""
    cache, home = tmp_path / "cache", tmp_path / "home"
    cache.mkdir()
    home.mkdir()
    mounted = f'mount -t tmpfs -o mode=700,{options} tmpfs "{cache}" && exec "$@"'
    command = ["unshare", "-U", "-r", "-m", "sh", "-c", mounted, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("this process may mount nothing")

    def run_there(**variables: str) -> subprocess.CompletedProcess[str]:
        python = [*command, sys.executable, "-W", "always", "-c", textwrap.dedent(STEP)]
        environment = surroundings(TINYGRAD_NINJA_CACHE=str(cache), **variables)
        return subprocess.run(python, capture_output=True, text=True, timeout=120, env=environment)

    runs("c", run_there(XDG_CACHE_HOME=str(home)), f"kept in '{home}", f"not '{cache}' ({why}")
    nowhere = {"XDG_CACHE_HOME": str(cache), "TMPDIR": str(cache)}
    runs("numpy", run_there(**nowhere), "there is no folder for compiled steps", f"not '{cache}' ({why}")


def test_without_room_numpy_runs_the_steps(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("TINYGRAD_NINJA_CACHE", "XDG_CACHE_HOME", "TMPDIR")}
    result = run(STEP, preexec=small_files, **places)
    runs("numpy", result, "there is no folder for compiled steps", "(File too large)")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


# -- compilers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('gcc "-O2', "$CC, 'gcc \"-O2', is not a command: No closing quotation"),
        ("false", "false failed"),
        ("true", "true failed"),
    ],
)
def test_without_a_compiler_that_works_numpy_runs_the_steps(tmp_path: Path, command: str, words: str) -> None:
    runs("numpy", run(STEP, CC=command, TINYGRAD_NINJA_CACHE=str(tmp_path)), words, "straight-line NumPy")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_compiler_of_cpp_compiles_c(tmp_path: Path) -> None:
    runs("c", run(STEP, CC="g++", TINYGRAD_NINJA_CACHE=str(tmp_path)))


SCHEDULE = """
    import tinygrad_ninja as torch

    w = torch.arange(5.0).requires_grad_()

    def step(rate):
        loss = (w * w).sum()
        w.grad = None
        loss.backward()
        w.data -= rate * w.grad
        return loss

    fast = torch.compile(step, backend="c", fullgraph=True)
    for i in range(5):
        fast(1 / (i + 9))
    print(len(fast._recordings.reasons))
"""


def test_a_recording_that_no_call_fits_is_not_compiled(tmp_path: Path) -> None:
    """The first one has the first learning rate in it, which no later call has."""
    runs, wrapper = tmp_path / "runs", tmp_path / "cc"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >> {runs}\nexec cc "$@"\n', encoding="utf-8")
    wrapper.chmod(0o700)
    result = run(SCHEDULE, CC=str(wrapper), TINYGRAD_NINJA_CACHE=str(tmp_path / "cache"))
    assert result.stdout == "2\n", result.stderr
    compiled = [line for line in runs.read_text().splitlines() if " -dM " not in line]
    assert len(compiled) == 1, compiled


# -- processes that are killed -------------------------------------------------------------------------------


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def waits_for(condition: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_compiler_ends_with_the_program(tmp_path: Path, kind: signal.Signals) -> None:
    """And so do the programs that it has started. What it leaves is removed by a later program."""
    cache, slow = tmp_path / "cache", tmp_path / "slow"
    slow.write_text(
        '#!/bin/sh\ncase "$*" in *-dM*) exec cc "$@";; esac\n'
        f"sleep 100 & ps -o pgid= $$ > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/group; sleep 100\n",
        encoding="utf-8",
    )
    slow.chmod(0o700)
    environment = surroundings(CC=str(slow), TINYGRAD_NINJA_CACHE=str(cache))
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STEP)], env=environment, stderr=subprocess.DEVNULL
    )
    assert waits_for((tmp_path / "group").exists)
    group = int((tmp_path / "group").read_text())
    assert group_is_alive(group)
    program.send_signal(kind)
    program.wait(30)
    assert waits_for(lambda: not group_is_alive(group))
    left = [*cache.glob("building-*")]
    assert len(left) == (kind != signal.SIGINT)  # then the program itself tidies up
    fresh = cache / f"building-{'0' * 32}"
    fresh.mkdir()
    for folder in left:
        os.utime(folder, (0, 0))
    runs("c", run(STEP, TINYGRAD_NINJA_CACHE=str(cache)))
    assert [*cache.glob("building-*")] == [fresh]  # somebody may be at work in it


def test_a_program_that_is_killed_at_any_moment_leaves_a_cache_that_serves(tmp_path: Path) -> None:
    environment = surroundings(TINYGRAD_NINJA_CACHE=str(tmp_path))
    script = "import tinygrad_ninja.program.compile; print(flush=True)\n" + textwrap.dedent(STEP)
    for trial in range(12):
        for file in libraries(tmp_path):
            file.unlink()
        with subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE
        ) as program:
            assert program.stdout is not None
            program.stdout.readline()
            time.sleep(0.03 * trial)
            program.kill()
        runs("c", run(STEP, TINYGRAD_NINJA_CACHE=str(tmp_path)))


# -- how much is kept ----------------------------------------------------------------------------------------


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_NINJA_CACHE", str(tmp_path))
    names = [f"number_{i}" for i in range(6)]
    other = tmp_path / "other.so"
    other.write_bytes(bytes(10**6))
    os.utime(other, (0, 0))
    files: dict[str, Path] = {}
    now = time.time()
    for i, name in enumerate(names[:5]):
        build.build(f"int {name};")
        (files[name],) = {*libraries(tmp_path)} - {other, *files.values()}
        os.utime(files[name], (now, now - (10 - i) * 86400))
    build.build(f"int {names[0]};")  # which is the oldest, and used
    sizes = [file.stat().st_size for file in files.values()]
    monkeypatch.setattr(library_cache, "MOST_BYTES", sum(sizes[:4]) + 100)
    build.build(f"int {names[5]};")
    (newest,) = {*libraries(tmp_path)} - {other, *files.values()}
    assert {*libraries(tmp_path)} == {other, newest, *(files[name] for name in (names[0], *names[3:5]))}


def test_a_library_goes_to_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may otherwise keep the name, and lose what the file holds, when the power fails."""
    monkeypatch.setenv("TINYGRAD_NINJA_CACHE", str(tmp_path))
    synced: list[tuple[int, list[Path]]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, libraries(tmp_path)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    build.build("int written;")
    (file,) = libraries(tmp_path)
    assert synced == [(file.stat().st_ino, []), (tmp_path.stat().st_ino, [file])]
