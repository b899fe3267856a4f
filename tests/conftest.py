"""What all tests share: a cache of compiled steps that is not the user's; sanitizers; and those marked `gpu`
are skipped, and say so, where there is none."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu` only the files with such tests are read: others want packages that a machine lent for its
    GPU need not have."""
    if config.option.markexpr != "gpu" or collection_path.suffix != ".py":
        return None
    return "mark.gpu" not in collection_path.read_text(encoding="utf-8") or None


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_NINJA_CACHE", str(tmp_path_factory.mktemp("compiled")))
        yield


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
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="PyTorch sees no CUDA GPU here"))
