"""The application's models written in `torch.nn`, with the same names of parameters and buffers."""

import math
from collections.abc import Callable

import torch
from torch import nn

from tinygrad_ninja.makemore.models import Recipe


class Bigram(nn.Module):
    def __init__(self, vocab_size: int, recipe: Recipe) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(vocab_size, vocab_size))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(X[:, 0], len(self.W)).to(self.W.dtype) @ self.W


class MLP(nn.Module):
    def __init__(self, vocab_size: int, recipe: Recipe) -> None:
        super().__init__()
        self.C = nn.Parameter(torch.empty(vocab_size, recipe.embedding))
        self.W1 = nn.Parameter(torch.empty(recipe.context * recipe.embedding, recipe.hidden))
        self.add_hidden(recipe.hidden)
        self.W2 = nn.Parameter(torch.empty(recipe.hidden, vocab_size))
        self.b2 = nn.Parameter(torch.empty(vocab_size))

    def add_hidden(self, hidden: int) -> None:
        self.b1 = nn.Parameter(torch.empty(hidden))

    def normalize(self, hprebn: torch.Tensor) -> torch.Tensor:
        return hprebn + self.b1

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.normalize(self.C[X].flatten(1) @ self.W1)) @ self.W2 + self.b2


class BatchNormMLP(MLP):
    def add_hidden(self, hidden: int) -> None:
        self.bngain = nn.Parameter(torch.empty(1, hidden))
        self.bnbias = nn.Parameter(torch.empty(1, hidden))
        self.register_buffer("bnmean_running", torch.empty(1, hidden))
        self.register_buffer("bnstd_running", torch.empty(1, hidden))

    def normalize(self, hprebn: torch.Tensor) -> torch.Tensor:
        mean, std = self.bnmean_running, self.bnstd_running
        if self.training:
            mean, std = hprebn.mean(0, keepdim=True), hprebn.std(0, keepdim=True)
            self.bnmean_running = torch.lerp(self.bnmean_running, mean.detach(), 0.001)
            self.bnstd_running = torch.lerp(self.bnstd_running, std.detach(), 0.001)
        return self.bngain * (hprebn - mean) / std + self.bnbias


class Pairs(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, ::2], x[:, 1::2]], dim=2).squeeze(1)


class ChannelsLast(nn.BatchNorm1d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, -1)).transpose(1, -1)


class Stack(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


def deep(vocab_size: int, recipe: Recipe) -> nn.Module:
    hidden = recipe.hidden
    layers: list[nn.Module] = [nn.Embedding(vocab_size, recipe.embedding), nn.Flatten()]
    for fan_in in [recipe.context * recipe.embedding] + [hidden] * (recipe.layers - 1):
        layers += [nn.Linear(fan_in, hidden, bias=False), nn.BatchNorm1d(hidden), nn.Tanh()]
    return Stack(*layers, nn.Linear(hidden, vocab_size, bias=False), nn.BatchNorm1d(vocab_size))


def wavenet(vocab_size: int, recipe: Recipe) -> nn.Module:
    hidden, layers = recipe.hidden, [nn.Embedding(vocab_size, recipe.embedding)]
    for width in (recipe.embedding, hidden, hidden):
        layers += [Pairs(), nn.Linear(2 * width, hidden, bias=False), ChannelsLast(hidden), nn.Tanh()]
    return Stack(*layers, nn.Linear(hidden, vocab_size))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=mask)[0]
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, vocab_size: int, recipe: Recipe) -> None:
        super().__init__()
        width = recipe.embedding
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(recipe.context, width)
        self.blocks = nn.ModuleList(Block(width, recipe.heads) for _ in range(recipe.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab_size, bias=False)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(X) + self.position_embedding.weight[: X.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class BagOfWords(nn.Module):
    def __init__(self, vocab_size: int, recipe: Recipe) -> None:
        super().__init__()
        width = recipe.embedding
        self.wte = nn.Embedding(vocab_size, width)
        self.wpe = nn.Embedding(recipe.context, width)
        layers = {"c_fc": nn.Linear(width, recipe.hidden), "c_proj": nn.Linear(recipe.hidden, width)}
        self.context_block = nn.ModuleDict({"mlp": nn.ModuleDict(layers)})
        self.lm_head = nn.Linear(width, vocab_size)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        x = self.wte(X) + self.wpe.weight[: X.shape[1]]
        x = x + x.cumsum(1) / torch.arange(1, X.shape[1] + 1).view(-1, 1)
        layers = self.context_block["mlp"]
        return self.lm_head(x + layers["c_proj"](layers["c_fc"](x).tanh()))


class Recurrent(nn.Module):
    """The cells are PyTorch's own, but for that of gru, in which the gate is applied before the product."""

    layers: tuple[str, ...]
    starts: tuple[str, ...] = ("start",)

    def __init__(self, vocab_size: int, recipe: Recipe) -> None:
        super().__init__()
        for name in self.starts:
            self.register_parameter(name, nn.Parameter(torch.zeros(1, recipe.hidden)))
        self.wte = nn.Embedding(vocab_size, recipe.embedding)
        inputs = recipe.embedding + recipe.hidden
        self.cell = nn.ModuleDict({name: nn.Linear(inputs, recipe.hidden) for name in self.layers})
        self.lm_head = nn.Linear(recipe.hidden, vocab_size)

    def weights(self) -> tuple[torch.Tensor, ...]:
        """The layers joined, as PyTorch's cells have them: of the input, of the state, and the biases."""
        layers = [self.cell[name] for name in self.layers]
        weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
        width = self.wte.embedding_dim
        return weight[:, :width], weight[:, width:], bias, torch.zeros_like(bias)

    def step(self, x: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise NotImplementedError

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        state = tuple(getattr(self, name).repeat(len(X), 1) for name in self.starts)
        logits = []
        for x in self.wte(X).unbind(1):
            state = self.step(x, *state)
            logits.append(self.lm_head(state[0]))
        return torch.stack(logits, 1)


class RNN(Recurrent):
    layers = ("xh_to_h",)

    def step(self, x: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (torch.rnn_tanh_cell(x, *state, *self.weights()),)


class GRU(Recurrent):
    layers = ("xh_to_z", "xh_to_r", "xh_to_hbar")

    def step(self, x: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        (h,), (z, r, hbar) = state, self.cell.values()
        kept = r(torch.cat([x, h], 1)).sigmoid() * h
        return (torch.lerp(h, hbar(torch.cat([x, kept], 1)).tanh(), z(torch.cat([x, h], 1)).sigmoid()),)


class LSTM(Recurrent):
    layers = ("xh_to_f", "xh_to_i", "xh_to_o", "xh_to_cbar")
    starts = ("start", "start_c")

    def step(self, x: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = state[0].shape[1]
        rows = [k * hidden + i for k in (1, 0, 3, 2) for i in range(hidden)]  # PyTorch's order: i, f, g, o
        return torch.lstm_cell(x, state, *(weight[rows] for weight in self.weights()))


class CNN(nn.Module):
    def __init__(self, vocab_size: int, recipe: Recipe) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, recipe.embedding)
        widths = [recipe.embedding] + [recipe.hidden] * (recipe.layers - 1)
        self.convs = nn.ModuleList(nn.Conv1d(width, recipe.hidden, 2) for width in widths)
        self.distances = math.ceil(math.log2(recipe.context))
        self.lm_head = nn.Linear(recipe.hidden, vocab_size)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        x = self.wte(X)
        for i, conv in enumerate(self.convs):
            earlier, distance = torch.zeros_like(x), 2 ** (i % max(1, self.distances))
            earlier[:, distance:] = x[:, :-distance]
            h = (earlier @ conv.weight[:, :, 0].T + x @ conv.weight[:, :, 1].T + conv.bias).tanh()
            x = x + h if i else h
        return self.lm_head(x)


TWINS: dict[str, Callable[[int, Recipe], nn.Module]] = {
    "bigram": Bigram, "mlp": MLP, "bn-mlp": BatchNormMLP, "deep": deep, "wavenet": wavenet, "gpt": GPT,
    "bow": BagOfWords, "rnn": RNN, "gru": GRU, "lstm": LSTM, "cnn": CNN,
}  # fmt: skip
