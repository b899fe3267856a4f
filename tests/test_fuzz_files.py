"""Damaged checkpoints, under checksums that are right and by their bytes.
`python -m tests.fuzz files` damages more."""

import pytest
from fuzz import files
from test_fuzz_compile import nothing_found

FEW, MANY = range(8), range(8, 1500)


def test_a_few_damaged_files_are_refused() -> None:
    nothing_found(FEW, "files")


@pytest.mark.slow
def test_damaged_files_are_refused() -> None:
    nothing_found(MANY, "files")


def test_a_seed_is_one_file() -> None:
    for seed in (2, 3):
        header = files.content_of(seed)[:2000]
        assert header == files.content_of(seed)[:2000]
    assert files.content_of(2) != files.content_of(4)


def test_files_are_damaged_in_every_way() -> None:
    draws = [files.content_of(seed) for seed in range(200)]
    whole = {content for _, _, content in files.files()}
    assert len({*draws} - whole) > 180
