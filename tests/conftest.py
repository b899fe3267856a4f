"""What all tests share: a cache of compiled steps that is not the user's; and those marked `gpu` are skipped,
and say so, where there is none."""

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="PyTorch sees no CUDA GPU here"))
