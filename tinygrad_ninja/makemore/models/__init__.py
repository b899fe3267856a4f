"""The models of the lectures and of makemore, by their names on the command line and in a checkpoint."""

from .bigram import Bigram
from .gpt import GPT
from .mlp import MLP, BatchNormMLP
from .model import Model, Recipe
from .sequences import CNN, GRU, LSTM, RNN, BagOfWords
from .stacks import Deep, WaveNet

__all__ = [
    "CNN", "GPT", "GRU", "LSTM", "MLP", "MODELS", "RNN", "BagOfWords", "BatchNormMLP", "Bigram", "Deep",
    "Model", "Recipe", "WaveNet",
]  # fmt: skip

MODELS: dict[str, type[Model]] = {
    "bigram": Bigram,
    "mlp": MLP,
    "bn-mlp": BatchNormMLP,
    "deep": Deep,
    "wavenet": WaveNet,
    "bow": BagOfWords,
    "rnn": RNN,
    "gru": GRU,
    "lstm": LSTM,
    "cnn": CNN,
    "gpt": GPT,
}
