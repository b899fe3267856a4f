"""What all tests share: the processes that they run in; a cache of compiled steps that is not the user's;
sanitizers; and those marked `gpu` are skipped, and say so, where there is none."""

import functools
import gc
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Before torch's and BLAS's threads start, and for what the tests start: arrays are small here, and several
# threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts background jobs with Ctrl-C ignored, and the programs that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Hundreds of programs that tests start import the package: each would compile it anew where no bytecode is
# kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

torch: Any = importlib.import_module("torch") if find_spec("torch") else None
for device in [torch.cuda, torch.xpu, torch.mtia] if torch is not None else []:
    # To seed one that is not there takes milliseconds: PyTorch writes down the stack, should the device come.
    if not device.is_available():
        device.manual_seed_all = lambda seed: None

from tinygrad_ninja.program.compile.c.build import NoCompilerError, compiler  # noqa: E402
from tinygrad_ninja.program.compile.guards.modes import Modes, modes, told  # noqa: E402

NO_TORCH = re.compile(r"No module named 'torch'|PyTorch, which is not installed|needs PyTorch")
SETTINGS: pytest.StashKey[Modes] = pytest.StashKey()
MOST_WORKERS = 8
"""Each imports torch, and grows to half a gigabyte."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--with-what-there-is",
        action="store_true",
        help="skip the tests that need a package that is not installed, such as PyTorch",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.with_what_there_is:
        sys.meta_path.append(Missing())
    if not hasattr(config, "workerinput"):  # pytest-xdist's processes have it from the one that starts them
        folder = tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["TINYGRAD_NINJA_CACHE"] = folder.name


class Missing:
    """Asked for a module that no other finder has found: where a test wants it, the test is skipped."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        if path is None and Path(frame.f_code.co_filename).is_relative_to(Path(__file__).parent):
            pytest.skip(f"{name} is not installed", allow_module_level=True)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads what it is to do
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in as many processes as there are cores, and files that are named in this one,
    where a debugger works. `-n` decides otherwise; without pytest-xdist there is one process."""
    if not config.pluginmanager.has_plugin("xdist") or hasattr(config, "workerinput"):
        return
    option = config.option
    if option.numprocesses is None and not option.tx and all(Path(each).is_dir() for each in config.args):
        option.numprocesses = "auto"
        option.maxprocesses = option.maxprocesses or MOST_WORKERS
    if option.numprocesses and option.dist == "no":
        option.dist = "worksteal"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu` only the files with such tests are read: others want packages that a machine lent for its
    GPU need not have."""
    if config.option.markexpr != "gpu" or collection_path.suffix != ".py":
        return None
    return "mark.gpu" not in collection_path.read_text(encoding="utf-8") or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Let Hypothesis draw half as many examples where the slow tests are left out."""
    if session.config.option.markexpr == "not slow" and find_spec("hypothesis"):
        from hypothesis import settings

        settings.register_profile("without slow tests", max_examples=settings().max_examples // 2)
        settings.load_profile("without slow tests")


@pytest.fixture
def sanitizers(tmp_path: Path) -> dict[str, str]:
    """Surroundings in which the address and the undefined behaviour sanitizer watch the emitted code."""
    if sys.platform != "linux" or not shutil.which("gcc"):
        pytest.skip("needs gcc's sanitizers, on Linux")
    found = [
        subprocess.run(["gcc", f"-print-file-name={each}"], capture_output=True, text=True, check=True)
        for each in ("libasan.so", "libstdc++.so.6")  # whose exceptions the first wants to know
    ]
    libraries = [each.stdout.strip() for each in found]
    if not all(Path(each).is_absolute() for each in libraries):
        pytest.skip("gcc has no sanitizers here")
    return {
        "CC": "gcc -fsanitize=address,undefined -fno-sanitize-recover=all",
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "TINYGRAD_NINJA_CACHE": str(tmp_path),
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch is not None and torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="PyTorch sees no CUDA GPU here"))


def pytest_collection_finish() -> None:
    """Leave what stays to the end, thousands of tests, out of what the garbage collector looks through."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember the engine's settings before a test and its fixtures."""
    item.stash[SETTINGS] = modes()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that leaves other settings to the tests after it, which are others in each process."""
    yield
    difference = told(item.stash[SETTINGS], modes())
    assert not difference, f"the test does not put back what it sets: {difference}"


@functools.cache
def has_compiler() -> bool:
    try:
        return bool(compiler())
    except NoCompilerError:
        return False


def lacks_torch(config: pytest.Config, said: str) -> bool:
    """Whether PyTorch is not installed, need not be, and is missed."""
    return config.option.with_what_there_is and torch is None and NO_TORCH.search(said) is not None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a file that can't be read because a library that it imports wants PyTorch, if that is missing."""
    report = yield
    if report.failed and lacks_torch(collector.config, report.longreprtext):
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, "PyTorch is not installed")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where there is no C compiler, skip what fails by saying so; and where PyTorch may be missing."""
    report = yield
    if not report.failed:
        return report
    said = f"{report.longreprtext}{report.capstderr}"
    reason = ""
    if "there is no C compiler" in said and not has_compiler():
        reason = "there is no C compiler here"
    elif lacks_torch(item.config, said):
        reason = "PyTorch is not installed"
    if reason:
        report.outcome, report.longrepr = "skipped", (*item.location[:2], reason)
    return report
