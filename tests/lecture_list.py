"""The lecture's own list of names, where it lies beside the project: it is no part of it."""

from pathlib import Path

import pytest

LECTURE_LIST = Path(__file__).parents[2] / "shared" / "data" / "names.txt"
needs_lecture_list = pytest.mark.skipif(
    not LECTURE_LIST.exists(), reason="the lecture's list, ../shared/data/names.txt, is not there"
)
