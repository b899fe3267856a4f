"""A model whose training starts on this engine and continues in PyTorch, with the optimizer's state.

    python examples/continue_in_pytorch.py [STEPS] [FILE.onnx]

Needs PyTorch. With a file's name the network is also exported for other programs, which needs onnx and
onnxscript.
"""

import sys

import torch

import tinygrad_ninja as ninja
from tinygrad_ninja import nn
from tinygrad_ninja.makemore.data import Vocabulary, build_dataset, read_words, split

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000

words = read_words(None)
vocabulary = Vocabulary(words)
train_words, dev_words, _ = split(words)
Xtr, Ytr = (ninja.from_numpy(array) for array in build_dataset(train_words, vocabulary, 3))
Xdev, Ydev = (ninja.from_numpy(array) for array in build_dataset(dev_words, vocabulary, 3))


class Names(nn.Module):
    """The lecture's network: three letters in, a score for every possible next letter out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary), 10)
        self.hidden = nn.Sequential(nn.Linear(30, 100, bias=False), nn.BatchNorm1d(100), nn.Tanh())
        self.out = nn.Linear(100, len(vocabulary))

    def forward(self, X):
        """Return the scores, (n, letters), of the letter after each of the n contexts of X, (n, 3)."""
        return self.out(self.hidden(self.embedding(X).flatten(1)))


def train(engine, model, optimizer, X, Y):
    """Take `steps` training steps on the engine's own Tensors: the same lines for both engines."""
    for _ in range(steps):
        ix = engine.randint(0, X.shape[0], (32,), generator=g)
        loss = engine.nn.functional.cross_entropy(model(X[ix]), Y[ix])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def dev_loss(engine, model, X, Y):
    """Return the mean loss on the dev words, in nats."""
    model.eval()
    with engine.no_grad():
        loss = engine.nn.functional.cross_entropy(model(X), Y).item()
    model.train()
    return loss


ninja.manual_seed(42)
g = ninja.Generator().manual_seed(2147483647)
model = Names()
optimizer = ninja.optim.AdamW(model.parameters(), lr=0.01)
train(ninja, model, optimizer, Xtr, Ytr)
print(f"{steps} steps here: dev {dev_loss(ninja, model, Xdev, Ydev):.4f}")

model = ninja.to_torch(model)
Xtr, Ytr, Xdev, Ydev = ninja.to_torch((Xtr, Ytr, Xdev, Ydev))
g = torch.Generator().manual_seed(g.initial_seed() + 1)
continued = torch.optim.AdamW(model.parameters(), lr=0.01)
continued.load_state_dict(ninja.to_torch(optimizer.state_dict()))
print(f"the same network in PyTorch: dev {dev_loss(torch, model, Xdev, Ydev):.4f}")
train(torch, model, continued, Xtr, Ytr)
print(f"{steps} steps more there: dev {dev_loss(torch, model, Xdev, Ydev):.4f}")

if len(sys.argv) > 2:
    several = torch.export.Dim("several", min=2)
    torch.onnx.export(model.eval(), (Xdev[:2],), sys.argv[2], dynamo=True, dynamic_shapes=({0: several},))
