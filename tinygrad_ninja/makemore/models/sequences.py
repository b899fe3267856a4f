"""The models of Karpathy's program makemore that the lectures do not build, under its names and with its
sizes, and two in its style that it lacks: lstm and cnn.

The layers are drawn in its order. Their recipes are its own but for the learning rate, which is higher and
falls to 0, so that 45,000 steps are enough.
"""

from __future__ import annotations

from typing import ClassVar

from ... import Generator, Tensor, arange, cat, ones, sigmoid, stack, tanh, zeros
from ...nn import Conv1d, Embedding, Linear, Module, ModuleDict, ModuleList, Parameter
from ...nn.functional import pad
from ..fields import Slot
from .model import Recipe
from .rows import RowModel, layer_slots

RECIPE = Recipe(
    context=16, embedding=64, hidden=64, steps=45_000,
    optimizer="adamw", lr=2e-3, weight_decay=0.01, schedule="cosine", warmup=300,
)  # fmt: skip


class BagOfWords(RowModel):
    """To each letter the mean of those up to it is added, and to that a tanh layer of `hidden` units."""

    recipe = RECIPE

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        self.wte = Embedding(vocab_size, recipe.embedding)
        self.wpe = Embedding(recipe.context, recipe.embedding)
        self.context_block = BagOfWordsBlock(recipe.embedding, recipe.hidden)
        self.lm_head = Linear(recipe.embedding, vocab_size)
        self._draw_layers(generator)

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the embeddings of letters and positions, the block's two layers, and the last layer."""
        width, hidden = recipe.embedding, recipe.hidden
        return {
            "wte.weight": Slot((vocab_size, width)),
            "wpe.weight": Slot((recipe.context, width)),
            **layer_slots("context_block.mlp.c_fc", (hidden, width)),
            **layer_slots("context_block.mlp.c_proj", (width, hidden)),
            **layer_slots("lm_head", (vocab_size, width)),
        }

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, t, vocab_size), of the letter after each letter of X, (n, t)."""
        x = self.wte(X) + self.wpe(arange(X.shape[1], device=X.device))
        return self.lm_head(self.context_block(x))


class BagOfWordsBlock(Module):
    """To each letter the mean of those up to it, then a tanh layer, each added to its input."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.mlp = ModuleDict({"c_fc": Linear(width, hidden), "c_proj": Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (n, t, width), for an input x of the same shape."""
        t = x.shape[1]
        so_far = ones((t, t), dtype=x.dtype, device=x.device).tril()
        shares = so_far / so_far.sum(1, keepdim=True)
        x = x + shares @ x
        return x + self.mlp["c_proj"](tanh(self.mlp["c_fc"](x)))


class RecurrentModel(RowModel):
    """A state of `hidden` numbers, which a cell changes from letter to letter; the first state is learned."""

    recipe = RECIPE
    cell_type: ClassVar[type[Cell]]

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        for name in self.cell_type.starts:
            self.register_parameter(name, Parameter(zeros(1, recipe.hidden)))
        self.wte = Embedding(vocab_size, recipe.embedding)
        self.cell = self.cell_type(recipe.embedding, recipe.hidden)
        self.lm_head = Linear(recipe.hidden, vocab_size)
        self._draw_layers(generator)

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the first state, the embedding, the cell's layers, and the last layer."""
        width, hidden, cell = recipe.embedding, recipe.hidden, cls.cell_type
        slots = dict.fromkeys(cell.starts, Slot((1, hidden))) | {"wte.weight": Slot((vocab_size, width))}
        for name in cell.layers:
            slots |= layer_slots(f"cell.{name}", (hidden, width + hidden))
        return slots | layer_slots("lm_head", (vocab_size, hidden))

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, t, vocab_size), of the letter after each letter of X, (n, t)."""
        n, t = X.shape
        emb = self.wte(X)
        state = [getattr(self, name).expand((n, -1)) for name in self.cell.starts]
        hiddens = []
        for i in range(t):
            state = self.cell(emb[:, i, :], *state)
            hiddens.append(state[0])
        return self.lm_head(stack(hiddens, 1))


class Cell(Module):
    """The base of the cells: linear layers, each from a letter's embedding and the hidden state before it.

    starts: the parameters with the first states, the hidden one first. `forward` takes the embedding, (n,
    embedding), and the states, each (n, hidden), and returns the new states.
    """

    starts: ClassVar[tuple[str, ...]] = ("start",)
    layers: ClassVar[tuple[str, ...]]

    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        for name in self.layers:
            setattr(self, name, Linear(embedding + hidden, hidden))


class TanhCell(Cell):
    """One tanh layer."""

    layers = ("xh_to_h",)

    def forward(self, x: Tensor, h: Tensor) -> list[Tensor]:
        """Return the new hidden state."""
        return [tanh(self.xh_to_h(cat([x, h], 1)))]


class GatedCell(Cell):
    """A gated recurrent unit (Cho et al. 2014): gates say how much of the state is kept, and what of it is
    seen."""

    layers = ("xh_to_z", "xh_to_r", "xh_to_hbar")

    def forward(self, x: Tensor, h: Tensor) -> list[Tensor]:
        """Return the new hidden state."""
        xh = cat([x, h], 1)
        r = sigmoid(self.xh_to_r(xh))
        hbar = tanh(self.xh_to_hbar(cat([x, r * h], 1)))
        z = sigmoid(self.xh_to_z(xh))
        return [(1 - z) * h + z * hbar]


class LongShortTermCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997): a second state, the memory, is changed by
    sums only; gates say what is forgotten, what is added, and what of it is shown as the hidden state."""

    starts = ("start", "start_c")
    layers = ("xh_to_f", "xh_to_i", "xh_to_o", "xh_to_cbar")

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> list[Tensor]:
        """Return the new hidden state and the new memory."""
        xh = cat([x, h], 1)
        f, i, o = (sigmoid(layer(xh)) for layer in (self.xh_to_f, self.xh_to_i, self.xh_to_o))
        c = f * c + i * tanh(self.xh_to_cbar(xh))
        return [o * tanh(c), c]


class RNN(RecurrentModel):
    """A recurrent network with a tanh layer as its cell (Mikolov et al. 2010)."""

    cell_type = TanhCell


class GRU(RecurrentModel):
    """A recurrent network of gated units."""

    cell_type = GatedCell


class LSTM(RecurrentModel):
    """A recurrent network with a memory."""

    cell_type = LongShortTermCell


class CNN(RowModel):
    """Causal convolutions (van den Oord et al. 2016): each of `layers` joins two letters, 1, 2, 4, ... apart,
    until their distance is the context, and then 1 again; each but the first is added to its input."""

    recipe = Recipe(**{**vars(RECIPE), "layers": 4})

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        self.wte = Embedding(vocab_size, recipe.embedding)
        widths = [recipe.embedding] + [recipe.hidden] * recipe.layers
        distances = (recipe.context - 1).bit_length() or 1
        self.convs = ModuleList(
            Conv1d(widths[i], widths[i + 1], 2, dilation=2 ** (i % distances)) for i in range(recipe.layers)
        )
        self.lm_head = Linear(recipe.hidden, vocab_size)
        self._draw_layers(generator)

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the embedding, each convolution, and the last layer."""
        slots, width = {"wte.weight": Slot((vocab_size, recipe.embedding))}, recipe.embedding
        for i in range(recipe.layers):
            slots |= layer_slots(f"convs.{i}", (recipe.hidden, width, 2))
            width = recipe.hidden
        return slots | layer_slots("lm_head", (vocab_size, recipe.hidden))

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, t, vocab_size), of the letter after each letter of X, (n, t)."""
        x = self.wte(X).transpose(1, 2)  # (n, embedding, t)
        for i, conv in enumerate(self.convs):
            h = tanh(conv(pad(x, (conv.dilation[0], 0))))
            x = x + h if i else h
        return self.lm_head(x.transpose(1, 2))
