"""The words that a model learns from: reading a list, numbering its letters, cutting it into examples."""

from __future__ import annotations

import os
import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..api.weights import check_regular

BOUNDARY = "."
"""The character before and after every word; its number is 0."""

LARGEST_FILE = 50_000_000
"""The most bytes of a list of words."""

LONGEST_LINE = 10_000
"""The most characters of its lines."""

LECTURE_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
LECTURE_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"


_BLANK = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that are printed as nothing: fillers, joiners, selectors of a variant."""


def is_visible(text: str) -> bool:
    """Return whether a text is printable, and no character of it is printed as nothing."""
    return text.isprintable() and not _BLANK.search(text)


class DataError(ValueError):
    """The words cannot be used; the message is one sentence that names the file or the word."""


def read_words(source: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the words of a text file: UTF-8, one word per line, in the file's order; blank lines are
    skipped.

    source: the file; "makemore" for the lecture's list, downloaded once and then kept in the user's cache
    folder (a file of that name is "./makemore"); None for the list that comes with the package.

    A word is a line without the white space around it; it is visible and contains no ".". Of the spellings
    that look the same it has the composed one (NFC), so that "é" is one letter.

    Raises DataError where the file cannot be read or downloaded, is not text, has more than LARGEST_FILE
    bytes or LONGEST_LINE characters in a line, holds a line that is not a word, or too few words for `split`.
    """
    if source is None:
        file = resources.files(__package__) / "names.txt"
    else:
        file = _fetch_lecture_list() if source == "makemore" else Path(source)
    words = []
    for number, line in enumerate(_lines(file), start=1):
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{file}, line {number} has {len(line):,} characters: a line has at most {LONGEST_LINE:,}"
            )
        word = unicodedata.normalize("NFC", line.strip())
        for character in word:
            if not is_visible(character) or character == BOUNDARY:
                name = unicodedata.name(character, "a control character")
                raise DataError(
                    f"{file}, line {number}: {_excerpt(word)} is no word, because of U+{ord(character):04X}, "
                    f"{name}: a word is visible and without {BOUNDARY!r}"
                )
        if word:
            words.append(word)
    _cuts(len(words), str(file))
    return words


def read_words_again(source: str | None, folder: Path) -> list[str]:
    """Return the words of a training whose results are in `folder`.

    source: where the training read them, as `read_words` takes it. A file that is not there is looked for
    from the folders around the results, since the caller may work in another folder than the training did.
    Raises DataError as `read_words`, and says that they may be elsewhere now.
    """
    found: str | Path | None = source
    if source not in (None, "makemore") and not Path(source).exists():
        around = (parent / source for parent in (folder.resolve(), *folder.resolve().parents))
        found = next((file for file in around if file.is_file()), source)
    try:
        return read_words(found)
    except DataError as error:
        raise DataError(f"{error}; where the words are elsewhere now, --data names the place") from error


def split(words: Sequence[str], seed: int = 42) -> tuple[list[str], list[str], list[str]]:
    """Return the training, development and test words: shuffled once, then cut at 80% and 90%, as in the
    lecture.

    The permutation is that of `random.seed(seed); random.shuffle(words)`. Raises DataError where a part would
    be empty.
    """
    train, dev = _cuts(len(words), "the list")
    shuffled = list(words)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:train], shuffled[train:dev], shuffled[dev:]


class Vocabulary:
    """The characters of some words, sorted and numbered from 1; `BOUNDARY` is number 0.

    `Vocabulary(other.characters)` is equal to `other`, so a checkpoint stores the characters only.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.characters = BOUNDARY + "".join(sorted(set().union(*words) - {BOUNDARY}))
        self._numbers = {character: number for number, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, word: str) -> list[int]:
        """Return the numbers of the word's characters. Raises DataError for one that is not in the
        vocabulary."""
        try:
            return [self._numbers[character] for character in word]
        except KeyError as unknown:
            raise DataError(
                f"the word {_excerpt(word)} has the letter {unknown.args[0]!r}, which the vocabulary has not"
            ) from None

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the characters with these numbers, as one string: the inverse of `encode`."""
        return "".join(self.characters[number] for number in numbers)


def build_dataset(
    words: Sequence[str], vocabulary: Vocabulary, context: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the examples of the words: for every character and every end of word, the context before it.

    X has the shape (N, context) and Y, the number of the character itself, (N,), both int64, where N =
    sum(len(word) + 1 for word in words). Before the first character of a word, X is filled with 0. Raises
    ValueError for a context below 1 and DataError for a character that is not in the vocabulary.
    """
    if context < 1:
        raise ValueError(f"context must be at least 1, not {context}")
    stream: list[int] = []
    for word in words:
        stream += [0] * context + vocabulary.encode(word) + [0]
    examples = [len(word) + 1 for word in words]
    # Without the padding the targets would be consecutive: word k (from 1) is moved by k paddings.
    targets = np.arange(sum(examples)) + context * np.repeat(np.arange(1, len(words) + 1), examples)
    windows = np.array(stream, dtype=np.int64)[targets[:, None] + np.arange(-context, 1)]
    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, -1])


def _lines(file: Path | Traversable) -> list[str]:
    """Return the lines of a file of at most LARGEST_FILE bytes. Raises DataError."""
    try:
        if isinstance(file, Path):
            check_regular(file)
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise DataError(f"{file} is too large: a list of words has at most {LARGEST_FILE:,} bytes")
    try:
        text = content.decode("utf-8-sig")  # without the byte order mark of Windows editors
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start} does not fit)") from error
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _fetch_lecture_list() -> Path:
    import pooch  # here, since it takes longer to import than most commands take

    try:
        return Path(
            pooch.retrieve(
                LECTURE_URL,
                known_hash=f"sha256:{LECTURE_SHA256}",
                fname="makemore-names.txt",
                path=pooch.os_cache("tinygrad_ninja"),
            )
        )
    except OSError as error:  # every network error of requests is one
        raise DataError(
            f"the lecture's list could not be fetched from {LECTURE_URL} ({type(error).__name__}): "
            "is this machine online?"
        ) from error
    except ValueError as error:  # pooch's answer to a hash that differs
        raise DataError(f"what {LECTURE_URL} holds is not the lecture's list: its sha256 differs") from error


def _cuts(count: int, origin: str) -> tuple[int, int]:
    train, dev = int(0.8 * count), int(0.9 * count)
    if not 0 < train < dev < count:
        raise DataError(
            f"{origin} has too few words ({count}) to split into training, development and test words"
            if count
            else f"{origin} has no usable word (one a line, printable, without {BOUNDARY!r})"
        )
    return train, dev


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
