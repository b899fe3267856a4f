"""Reading lists of words, numbering their letters and cutting them into examples."""

import functools
import http.server
import random
import re
import shutil
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lecture_list import LECTURE_LIST, needs_lecture_list

from tinygrad_ninja.makemore import data
from tinygrad_ninja.makemore.data import DataError, Vocabulary, build_dataset, read_words, split

WORDS = ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia", "harper", "evelyn"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the lecture's list is kept once it was fetched, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)
    return folder


@pytest.fixture
def other_list(tmp_path: Path) -> Iterator[str]:
    """The address of a list on a server of this machine that is not the lecture's."""
    (tmp_path / "names.txt").write_text("\n".join(WORDS), encoding="utf-8")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/names.txt"
        server.shutdown()
        thread.join()


def slide(words: list[str], stoi: dict[str, int], context: int) -> tuple[list[list[int]], list[int]]:
    """Examples as the definition reads: slide a window over each word, one letter at a time."""
    contexts, targets = [], []
    for word in words:
        window = [0] * context
        for letter in [*word, "."]:
            contexts.append(window)
            targets.append(stoi[letter])
            window = [*window[1:], stoi[letter]]
    return contexts, targets


@needs_lecture_list
def test_the_lectures_list_gives_the_lectures_examples() -> None:
    words = read_words(LECTURE_LIST)
    assert len(words) == 32_033
    vocabulary = Vocabulary(words)
    assert vocabulary.characters == ".abcdefghijklmnopqrstuvwxyz"
    assert [len(build_dataset(part, vocabulary, 3)[1]) for part in split(words)] == [182_625, 22_655, 22_866]


def test_the_shipped_list() -> None:
    words = read_words()
    assert len(words) == 32_257
    assert words[0] == "emma"  # the most frequent girl's name of 2018
    assert Vocabulary(words).characters == ".abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("seed", [42, 0, 2147483647])
def test_split_is_one_shuffle_of_pythons_generator_cut_at_80_and_90_percent(seed: int) -> None:
    words = [str(number) for number in range(1000)]
    shuffled = list(words)
    random.seed(seed)
    random.shuffle(shuffled)
    assert split(words, seed) == (shuffled[:800], shuffled[800:900], shuffled[900:])
    assert words == [str(number) for number in range(1000)]


@pytest.mark.parametrize("count", range(6, 40))
def test_split_leaves_no_part_empty(count: int) -> None:
    parts = split([str(number) for number in range(count)])
    assert all(parts)
    assert sum(map(len, parts)) == count


@pytest.mark.parametrize("count", range(1, 6))
def test_too_few_words_to_split(count: int) -> None:
    with pytest.raises(DataError, match=rf"the list has too few words \({count}\)"):
        split(["ava"] * count)


@given(st.lists(st.text(st.characters(exclude_characters="."), min_size=1)), st.integers(1, 5))
def test_build_dataset_slides_a_window_over_each_word(words: list[str], context: int) -> None:
    vocabulary = Vocabulary(words)
    stoi = {character: number for number, character in enumerate([".", *sorted(set("".join(words)))])}
    expected_contexts, expected_targets = slide(words, stoi, context)

    X, Y = build_dataset(words, vocabulary, context)

    assert X.dtype == Y.dtype == np.int64
    assert X.shape == (len(expected_targets), context)
    assert X.tolist() == expected_contexts
    assert Y.tolist() == expected_targets


@pytest.mark.parametrize("context", [0, -1])
def test_a_context_without_letters_is_refused(context: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {context}"):
        build_dataset(WORDS, Vocabulary(WORDS), context)


@given(st.lists(st.text(), min_size=1))
def test_vocabulary_reads_back_what_it_wrote(words: list[str]) -> None:
    vocabulary = Vocabulary(words)
    assert vocabulary.characters[0] == "."
    assert len(vocabulary) == len(set("".join(words)) | {"."})
    assert Vocabulary(vocabulary.characters).characters == vocabulary.characters
    for word in words:
        assert vocabulary.decode(vocabulary.encode(word)) == word


def test_an_unknown_letter_is_named_with_its_word() -> None:
    with pytest.raises(DataError, match="'zoë' has the letter 'ë'"):
        build_dataset([*WORDS, "zoë"], Vocabulary([*WORDS, "zo"]), 3)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_line_ends_blank_lines_and_byte_order_mark(tmp_path: Path, line_end: str, encoding: str) -> None:
    file = tmp_path / "names.txt"
    lines = ["", *WORDS[:5], " \t", "", *(f"  {word} " for word in WORDS[5:]), "zoë", "mary ann"]
    file.write_bytes(line_end.join(lines).encode(encoding))
    assert read_words(file) == [*WORDS, "zoë", "mary ann"]
    assert read_words(str(file)) == read_words(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no usable word"),
        (b"\n  \r\n\t\n", "has no usable word"),
        (b"emma\nava\n", r"has too few words \(2\)"),
        ("zoë\n".encode("utf-16"), "is not UTF-8 text"),
        (b"emma\nst. john\n", "line 2: 'st. john' is no word"),
        (b"emma\n\nam\x00ber\n", r"line 3: 'am\\x00ber' is no word"),
    ],
)
def test_a_file_that_is_no_list_of_words(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_words(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("\u200d", "U+200D, ZERO WIDTH JOINER"),
        ("\u200b", "U+200B, ZERO WIDTH SPACE"),
        ("\u3164", "U+3164, HANGUL FILLER"),
        ("\ufe0f", "U+FE0F, VARIATION SELECTOR-16"),
        ("\u034f", "U+034F, COMBINING GRAPHEME JOINER"),
        ("\u00a0", "U+00A0, NO-BREAK SPACE"),
        ("\u202e", "U+202E, RIGHT-TO-LEFT OVERRIDE"),
        ("\x1b", "U+001B, a control character"),
        (".", "U+002E, FULL STOP"),
    ],
)
def test_a_letter_that_no_word_has_is_named(tmp_path: Path, letter: str, name: str) -> None:
    file = tmp_path / "names.txt"
    file.write_text(f"ava\nem{letter}ma\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"line 2: 'em.*ma' is no word, because of {re.escape(name)}:"):
        read_words(file)


def test_spellings_that_look_the_same_are_one(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("\n".join(["zoe\u0308", "zo\u00eb"] * 10), encoding="utf-8")
    words = read_words(file)
    assert set(words) == {"zo\u00eb"}
    assert Vocabulary(words).characters == ".oz\u00eb"


def test_a_line_and_a_list_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "names.txt"
    file.write_text("\n".join(["a" * data.LONGEST_LINE] * 10), encoding="utf-8")
    assert len(read_words(file)) == 10
    file.write_text("ava\n" + "a" * (data.LONGEST_LINE + 1), encoding="utf-8")
    with pytest.raises(DataError, match="line 2 has 10,001 characters: a line has at most 10,000"):
        read_words(file)
    with file.open("wb") as sparse:
        sparse.truncate(10**9)  # a line of a gigabyte, which takes no room on the disk
    tracemalloc.start()
    with pytest.raises(DataError, match="is too large: a list of words has at most 50,000,000 bytes"):
        read_words(file)
    assert tracemalloc.get_traced_memory()[1] < 110_000_000
    tracemalloc.stop()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    not_a_folder = tmp_path / "names.txt"
    not_a_folder.write_text("emma\n")
    for path in (tmp_path, tmp_path / "absent.txt", not_a_folder / "names.txt"):
        with pytest.raises(DataError, match="cannot read") as caught:
            read_words(path)
        assert str(path) in str(caught.value)


@needs_lecture_list
def test_the_fetched_list_is_used_without_a_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "LECTURE_URL", "http://127.0.0.1:9/names.txt")
    cache.mkdir()
    shutil.copy(LECTURE_LIST, cache / "makemore-names.txt")
    assert read_words("makemore") == read_words(LECTURE_LIST)


def test_a_list_that_is_not_the_lectures_is_not_kept(
    cache: Path, other_list: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "LECTURE_URL", other_list)
    with pytest.raises(DataError, match=f"{other_list} holds is not the lecture's list"):
        read_words("makemore")
    assert not list(cache.iterdir())


def test_offline_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "LECTURE_URL", "http://127.0.0.1:9/names.txt")
    with pytest.raises(DataError, match="is this machine online") as caught:
        read_words("makemore")
    assert "\n" not in str(caught.value)
