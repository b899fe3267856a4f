"""Programs of ours in the idioms of learners' programs, run unchanged under PyTorch and under the engine: the
same losses to 1e-4, the same texts. `test_zero_to_hero.py` does so with the programs that they learn from."""

from pathlib import Path
from textwrap import dedent

import pytest
from unchanged_programs import assert_same_prints, lines, under

pytestmark = pytest.mark.slow

COMMAND_LINE = """
    import argparse, os, sys, time
    from dataclasses import dataclass
    import torch
    import torch.nn as nn
    from torch.nn import functional as F
    from torch.utils.data import Dataset
    from torch.utils.data.dataloader import DataLoader
    from torch.utils.tensorboard import SummaryWriter

    @dataclass
    class Config:
        context: int = None
        letters: int = None
        width: int = 12

    class Words(Dataset):
        def __init__(self, words, longest):
            self.words, self.longest = words, longest

        def __len__(self):
            return len(self.words)

        def __getitem__(self, i):
            ids = torch.tensor([ord(c) - 96 for c in self.words[i]], dtype=torch.long)
            x, y = torch.zeros(self.longest + 1, dtype=torch.long), torch.full((self.longest + 1,), -1)
            x[1 : 1 + len(ids)], y[: len(ids)] = ids, ids
            y[len(ids)] = 0
            return x, y

    class Window(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.config = config
            self.wte = nn.Embedding(config.letters + 1, config.width)
            self.mlp = nn.Sequential(
                nn.Linear(3 * config.width, 32), nn.Tanh(), nn.Linear(32, config.letters)
            )
            self.register_buffer("offset", torch.zeros(1))

        def forward(self, idx, targets=None):
            parts = []
            for _ in range(3):
                parts.append(self.wte(idx))
                idx = torch.roll(idx, 1, 1)
                idx[:, 0] = self.config.letters
            logits = self.mlp(torch.cat(parts, -1)) + self.offset
            if targets is None:
                return logits, None
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
            return logits, loss

    @torch.inference_mode()
    def evaluate(model, data):
        model.eval()
        losses = [model(x, y)[1].item() for x, y in DataLoader(data, shuffle=True, batch_size=7)]
        model.train()
        return torch.tensor(losses).mean().item()

    @torch.no_grad()
    def generate(model, idx, count, top_k=None):
        for _ in range(count):
            logits = model(idx)[0][:, -1, :] / 0.9
            if top_k is not None:
                v, _ = torch.topk(logits, top_k)
                logits[logits < v[:, [-1]]] = -float("Inf")
            idx = torch.cat((idx, torch.multinomial(F.softmax(logits, dim=-1), num_samples=1)), dim=1)
        return idx

    if __name__ == "__main__":
        parser = argparse.ArgumentParser()
        parser.add_argument("--steps", type=int, default=100)
        parser.add_argument("--work-dir", "-o", default="out")
        parser.add_argument("--sample-only", action="store_true")
        args = parser.parse_args()
        print(vars(args))
        torch.manual_seed(3407)
        torch.cuda.manual_seed_all(3407)
        os.makedirs(args.work_dir, exist_ok=True)
        words = [a + b + c for a in "klmn" for b in ("aia", "ee", "o") for c in ("s", "rt", "vwyz", "")]
        order = torch.randperm(len(words)).tolist()
        train = Words([words[i] for i in order[:-8]], 8)
        test = Words([words[i] for i in order[-8:]], 8)
        model = Window(Config(context=9, letters=27))
        device = "cuda" if torch.cuda.is_available() and False else "cpu"
        model.to(device)
        path = os.path.join(args.work_dir, "model.pt")
        if args.sample_only:
            print(model.load_state_dict(torch.load(path)))
            print(generate(model, torch.zeros(3, 1, dtype=torch.long), 8, top_k=3).tolist())
            sys.exit()
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01, betas=(0.9, 0.99))
        sampler = torch.utils.data.RandomSampler(train, replacement=True, num_samples=int(1e10))
        batches = iter(DataLoader(train, batch_size=8, sampler=sampler, num_workers=2, pin_memory=True))
        best = None
        with SummaryWriter(log_dir=args.work_dir) as writer:
            for step in range(args.steps):
                start = time.time()
                x, y = [t.to(device) for t in next(batches)]
                logits, loss = model(x, y)
                model.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if device.startswith("cuda"):
                    torch.cuda.synchronize()
                print(f"step {step} | loss {loss.item():.8f} | {(time.time() - start) * 1000:.2f}ms")
                if step % 25 == 24:
                    score = evaluate(model, test)
                    writer.add_scalar("Loss/test", score, step)
                    writer.flush()
                    print(f"test loss {score}")
                    if best is None or score < best:
                        best = score
                        torch.save(model.state_dict(), path)
        print(generate(model, torch.zeros(3, 1, dtype=torch.long), 8).tolist())
"""

TRANSFORMER = """
    import inspect, math
    import torch
    import torch.nn as nn
    from torch.nn import functional as F

    torch.manual_seed(1337)
    text = "the quick brown fox jumps over the lazy dog; " * 20
    letters = sorted(set(text))
    data = torch.tensor([letters.index(c) for c in text], dtype=torch.long)
    width, heads, context = 24, 3, 12

    def get_batch():
        ix = torch.randint(len(data) - context, (5,))
        x = torch.stack([data[i : i + context] for i in ix])
        return x, torch.stack([data[i + 1 : i + context + 1] for i in ix])

    class Attention(nn.Module):
        def __init__(self, fast):
            super().__init__()
            self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
            self.fast = fast and hasattr(torch.nn.functional, "scaled_dot_product_attention")
            ones = torch.ones(context, context)
            self.register_buffer("bias", torch.tril(ones).view(1, 1, context, context))
            self.drop = nn.Dropout(0.1)

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = (
                t.view(B, T, heads, C // heads).transpose(1, 2) for t in self.qkv(x).split(width, dim=2)
            )
            if self.fast:
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, is_causal=True)
            else:
                att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
                att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
                y = self.drop(F.softmax(att, dim=-1)) @ v
            return self.drop(self.proj(y.transpose(1, 2).contiguous().view(B, T, C)))

    class Block(nn.Module):
        def __init__(self, fast):
            super().__init__()
            self.ln_1, self.ln_2, self.attn = nn.LayerNorm(width), nn.LayerNorm(width), Attention(fast)
            self.mlp = nn.ModuleDict(
                dict(c_fc=nn.Linear(width, 4 * width), c_proj=nn.Linear(4 * width, width), act=nn.GELU())
            )
            m = self.mlp
            self.mlpf = lambda x: m.c_proj(m.act(m.c_fc(x)))

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlpf(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer = nn.ModuleDict(
                dict(
                    wte=nn.Embedding(len(letters), width),
                    wpe=nn.Embedding(context, width),
                    h=nn.ModuleList([Block(fast) for fast in (False, True)]),
                    ln_f=nn.LayerNorm(width),
                )
            )
            self.lm_head = nn.Linear(width, len(letters), bias=False)
            self.transformer.wte.weight = self.lm_head.weight
            self.apply(self._init_weights)
            for name, p in self.named_parameters():
                if name.endswith("c_proj.weight"):
                    torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * 2))

        def _init_weights(self, module):
            if isinstance(module, (nn.Linear, nn.Embedding)):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                torch.nn.init.zeros_(module.bias)

        def forward(self, idx, targets=None):
            t = self.transformer
            x = t.wte(idx) + t.wpe(torch.arange(0, idx.size(1), dtype=torch.long, device=idx.device))
            for block in t.h:
                x = block(x)
            logits = self.lm_head(t.ln_f(x))
            if targets is None:
                return logits[:, [-1], :], None
            return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    model = GPT()
    print(sum(p.numel() for p in model.parameters()), [name for name, _ in model.named_buffers()])
    decay = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    extra = dict(fused=False) if "fused" in inspect.signature(torch.optim.AdamW).parameters else {}
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), **extra)
    for k in range(100):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (k + 1) / 10)
        xb, yb = get_batch()
        logits, loss = model(xb, yb)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        print(f"{loss.item():.8f} {norm:.6f}")
    model.eval()
    idx = torch.zeros((1, 1), dtype=torch.long)
    with torch.no_grad():
        for _ in range(60):
            logits, _ = model(idx[:, -context:])
            idx = torch.cat((idx, torch.multinomial(F.softmax(logits[:, -1, :], dim=-1), 1)), dim=1)
    print("".join(letters[i] for i in idx[0].tolist()))
"""

BY_HAND = """
    import random
    import matplotlib.pyplot as plt
    import torch

    g = torch.Generator().manual_seed(2147483647)

    class Linear:
        def __init__(self, fan_in, fan_out, bias=True):
            self.weight = torch.randn((fan_in, fan_out), generator=g) / fan_in**0.5
            self.bias = torch.zeros(fan_out) if bias else None

        def __call__(self, x):
            self.out = x @ self.weight
            if self.bias is not None:
                self.out += self.bias
            return self.out

        def parameters(self):
            return [self.weight] + ([] if self.bias is None else [self.bias])

    class Norm:
        def __init__(self, dim):
            self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
            self.mean = torch.zeros(dim)

        def __call__(self, x):
            xmean, xvar = x.mean(0, keepdim=True), x.var(0, keepdim=True)
            self.out = self.gamma * (x - xmean) / torch.sqrt(xvar + 1e-5) + self.beta
            with torch.no_grad():
                self.mean = 0.9 * self.mean + 0.1 * xmean
            return self.out

        def parameters(self):
            return [self.gamma, self.beta]

    class Tanh:
        def __call__(self, x):
            self.out = torch.tanh(x)
            return self.out

        def parameters(self):
            return []

    random.seed(42)
    X = torch.tensor([[random.randrange(27) for _ in range(3)] for _ in range(300)])
    Y = (X.sum(1) % 27).view(-1)
    C = torch.randn((27, 6), generator=g)
    layers = [Linear(18, 30, bias=False), Norm(30), Tanh(), Linear(30, 27), Norm(27)]
    with torch.no_grad():
        layers[-1].gamma *= 0.1
        layers[0].weight *= 5 / 3
    parameters = [C] + [p for layer in layers for p in layer.parameters()]
    print(sum(p.nelement() for p in parameters))
    for p in parameters:
        p.requires_grad = True
    lossi, ud = [], []
    for i in range(100):
        ix = torch.randint(0, X.shape[0], (32,), generator=g)
        x = C[X[ix]].view(32, -1)
        for layer in layers:
            x = layer(x)
        loss = torch.nn.functional.cross_entropy(x, Y[ix])
        for layer in layers:
            layer.out.retain_grad()
        for p in parameters:
            p.grad = None
        loss.backward()
        lr = 0.1 if i < 80 else 0.01
        for p in parameters:
            p.data += -lr * p.grad
        print(f"{i:7d}/{100:7d}: {loss.item():.8f}")
        lossi.append(loss.log10().item())
        with torch.no_grad():
            weights = [p for p in parameters if p.ndim == 2]
            ud.append([((lr * p.grad).std() / p.data.std()).log10().item() for p in weights])
    print(torch.tensor(lossi).view(-1, 10).mean(1))
    print(torch.tensor(ud).mean(0), layers[1].mean.sum())
    for i, layer in enumerate(layers[:-1]):
        t = layer.out
        hy, hx = torch.histogram(t.grad, bins=5, density=True)
        plt.plot(hx[:-1].detach(), hy.detach())
        print("layer %d (%10s): mean %+.4f, std %.4f" % (i, layer.__class__.__name__, t.mean(), t.std()))
        print(hy)
    logits, n = x, 32
    logprobs = logits - logits.logsumexp(1, keepdim=True)
    dlogits = torch.softmax(logits, 1)
    dlogits[range(n), Y[ix]] -= 1
    dlogits /= n
    print((dlogits - logits.grad).abs().max().item() < 1e-8, -logprobs[range(n), Y[ix]].mean())
"""


@pytest.mark.parametrize("program", [TRANSFORMER, BY_HAND], ids=["transformer", "by hand"])
def test_a_training(program: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(dedent(program), encoding="utf-8")
    assert_same_prints(lines(under("torch", path)), lines(under("engine", path)), 100)


DEVICES = [("torch", True), pytest.param("cuda", True, marks=pytest.mark.gpu), ("cpu", False)]


@pytest.mark.parametrize(("device", "is_asked"), DEVICES)
def test_a_program_that_names_no_device_runs_on_the_one_that_is_asked_for(
    device: str, is_asked: bool, tmp_path: Path
) -> None:
    path = tmp_path / "program.py"
    path.write_text(dedent(TRANSFORMER) + "\nprint(model.lm_head.weight.device)\n", encoding="utf-8")
    *expected, _ = lines(under("engine", path))
    *actual, place = lines(under("engine", path, options=["--device", device] if is_asked else []))
    assert place.split(":")[0] == device
    assert_same_prints(expected, actual, 100)


def test_a_training_with_files(tmp_path: Path) -> None:
    """It saves the best model, and a second run continues from its file."""
    for arguments, numbers in (((), 104), (("--sample-only",), 0)):
        printed = []
        for engine in ("torch", "engine"):
            path = tmp_path / engine / "program.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(dedent(COMMAND_LINE), encoding="utf-8")
            printed.append(lines(under(engine, path, *arguments)))
        assert_same_prints(*printed, numbers)
    assert list((tmp_path / "engine" / "out").glob("events.out.tfevents.*"))
