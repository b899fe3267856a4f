"""The lecture's batch-norm MLP in the lecture's lines: only the first import names this engine.

    python examples/lecture_mlp.py [STEPS]

With `import torch` in its place the same numbers come out.
"""

import sys

import tinygrad_ninja as torch
import tinygrad_ninja.nn.functional as F
from tinygrad_ninja.makemore.data import Vocabulary, build_dataset, read_words, split

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000

words = read_words(None)
vocabulary = Vocabulary(words)
block_size, n_embd, n_hidden, batch_size = 3, 10, 200, 32
train_words, dev_words, _ = split(words)
Xtr, Ytr = (torch.from_numpy(array) for array in build_dataset(train_words, vocabulary, block_size))
Xdev, Ydev = (torch.from_numpy(array) for array in build_dataset(dev_words, vocabulary, block_size))

g = torch.Generator().manual_seed(2147483647)
C = torch.randn((len(vocabulary), n_embd), generator=g)
W1 = torch.randn((n_embd * block_size, n_hidden), generator=g) * (5 / 3) / ((n_embd * block_size) ** 0.5)
W2 = torch.randn((n_hidden, len(vocabulary)), generator=g) * 0.01
b2 = torch.randn(len(vocabulary), generator=g) * 0
bngain = torch.ones((1, n_hidden))
bnbias = torch.zeros((1, n_hidden))
bnmean_running = torch.zeros((1, n_hidden))
bnstd_running = torch.ones((1, n_hidden))

parameters = [C, W1, W2, b2, bngain, bnbias]
print(sum(p.nelement() for p in parameters), "parameters")
for p in parameters:
    p.requires_grad = True

for i in range(steps):
    ix = torch.randint(0, Xtr.shape[0], (batch_size,), generator=g)
    Xb, Yb = Xtr[ix], Ytr[ix]

    emb = C[Xb]
    embcat = emb.view(emb.shape[0], -1)
    hpreact = embcat @ W1
    bnmeani = hpreact.mean(0, keepdim=True)
    bnstdi = hpreact.std(0, keepdim=True)
    hpreact = bngain * (hpreact - bnmeani) / bnstdi + bnbias
    with torch.no_grad():
        bnmean_running = 0.999 * bnmean_running + 0.001 * bnmeani
        bnstd_running = 0.999 * bnstd_running + 0.001 * bnstdi
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Yb)

    for p in parameters:
        p.grad = None
    loss.backward()
    lr = 0.1 if i < steps // 2 else 0.01
    for p in parameters:
        p.data += -lr * p.grad

    if i % max(1, steps // 10) == 0:
        print(f"{i:7d}/{steps:7d}: {loss.item():.4f}")

with torch.no_grad():
    embcat = C[Xdev].view(Xdev.shape[0], -1)
    hpreact = bngain * (embcat @ W1 - bnmean_running) / bnstd_running + bnbias
    print("dev", F.cross_entropy(torch.tanh(hpreact) @ W2 + b2, Ydev).item())
