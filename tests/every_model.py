"""The models of makemore, as parameters of a test; for the large ones the C compiler takes long."""

import pytest

from tinygrad_ninja.makemore.models import MODELS

LARGE = {"deep", "wavenet", "bow", "rnn", "gru", "lstm", "cnn", "gpt"}
EVERY_MODEL = [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in MODELS]
