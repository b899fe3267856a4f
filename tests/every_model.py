"""The models of makemore, as parameters of a test; for the large ones the C compiler takes long."""

from slow_ones import slow_but

from tinygrad_ninja.makemore.models import MODELS

EVERY_MODEL = slow_but(MODELS, "bigram", "mlp", "bn-mlp")
