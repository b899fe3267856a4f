"""A small causal transformer: in one pass, logits of the next letter after every letter of a word."""

from __future__ import annotations

from collections.abc import Callable

from ... import Generator, Tensor, arange, bernoulli, full, ones
from ...nn import GELU, Embedding, LayerNorm, Linear, Module, ModuleList, MultiheadAttention, Sequential, init
from ..fields import Slot
from .model import Recipe
from .rows import RowModel, layer_slots


class Block(Module):
    """Attention to the letters so far, then a layer of 4 · width units, each added to its input.

    Both see their input normalized, as in GPT-2 (Radford et al. 2019).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attention = MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = LayerNorm(width)
        self.mlp = Sequential(Linear(width, 4 * width), GELU(approximate="tanh"), Linear(4 * width, width))

    def forward(self, x: Tensor, causal_mask: Tensor, dropout: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the block's output, (n, t, width), for an input x of the same shape.

        causal_mask: (t, t), true where the column comes after the row; dropout: applied to each part.
        """
        h = self.norm1(x)
        x = x + dropout(self.attention(h, h, h, attn_mask=causal_mask, need_weights=False, is_causal=True)[0])
        return x + dropout(self.mlp(self.norm2(x)))


class GPT(RowModel):
    """Embeddings of the letters and of their positions, added, through `layers` blocks of `heads` heads.

    Every matrix is drawn from N(0, 0.02²), in the order of `parameters`; biases are 0, the norms' weights 1.
    """

    # Sizes and batch are makemore's; dropout and schedule are chosen so that 45,000 steps are enough.
    recipe = Recipe(
        context=16, embedding=64, layers=4, heads=4, dropout=0.1, steps=45_000,
        optimizer="adamw", lr=2e-3, weight_decay=0.1, schedule="cosine", warmup=300,
    )  # fmt: skip

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        width, self.dropout = recipe.embedding, recipe.dropout
        self._check_heads(recipe)
        self.token_embedding = Embedding(vocab_size, width)
        self.position_embedding = Embedding(self.context, width)
        self.blocks = ModuleList(Block(width, recipe.heads) for _ in range(recipe.layers))
        self.norm = LayerNorm(width)
        self.head = Linear(width, vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                init.zeros_(parameter)

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the embeddings, each block's tensors, the norm's and the head's.

        Raises ValueError where the heads can't share the embedding.
        """
        cls._check_heads(recipe)
        width = recipe.embedding
        block = {
            **layer_slots("norm1", (width,)),
            "attention.in_proj_weight": Slot((3 * width, width)),
            "attention.in_proj_bias": Slot((3 * width,)),
            **layer_slots("attention.out_proj", (width, width)),
            **layer_slots("norm2", (width,)),
            **layer_slots("mlp.0", (4 * width, width)),
            **layer_slots("mlp.2", (width, 4 * width)),
        }
        return {
            "token_embedding.weight": Slot((vocab_size, width)),
            "position_embedding.weight": Slot((recipe.context, width)),
            **{f"blocks.{i}.{name}": slot for i in range(recipe.layers) for name, slot in block.items()},
            **layer_slots("norm", (width,)),
            "head.weight": Slot((vocab_size, width)),
        }

    @staticmethod
    def _check_heads(recipe: Recipe) -> None:
        if recipe.embedding % recipe.heads:
            raise ValueError(
                f"gpt's heads share its embedding: {recipe.embedding} is no multiple of {recipe.heads}"
            )

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, t, vocab_size), of the letter after each letter of X, (n, t), where t <=
        context."""
        t = X.shape[1]
        causal_mask = ones((t, t), dtype=bool, device=X.device).triu(1)
        x = self.token_embedding(X) + self.position_embedding(arange(t, device=X.device))
        for block in self.blocks:
            x = block(x, causal_mask, self._apply_dropout)
        return self.head(self.norm(x))

    def _apply_dropout(self, x: Tensor) -> Tensor:
        """Apply dropout (Srivastava et al. 2014), drawn from the run's generator, so that a resumed run
        repeats it."""
        if not self.training or not self.dropout:
            return x
        keep_mask = bernoulli(full(x.shape, 1 - self.dropout), generator=self.generator)
        return x * (keep_mask / (1 - self.dropout)).to(x.device)
