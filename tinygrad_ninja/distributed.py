"""Data-parallel training through `torch.distributed`: several processes, the ranks, each with a part of the
examples, and one gradient.

    torchrun --nproc-per-node 2 -m tinygrad_ninja train

torchrun starts the ranks and tells each in its environment how to find the others. Between them go torch
tensors: gloo takes NumPy's memory as it is, NCCL that of the GPU.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from .dtypes import float64
from .functions.creation import full, tensor, zeros
from .functions.shape import cat
from .node import Node, ancestors
from .ops import Operation
from .tensors import Tensor, wrap

PATIENCE = timedelta(seconds=45)
"""How long a rank waits for another that says nothing; one that has died is noticed at once."""

BUCKET_BYTES = 1 << 20
"""The gradients that travel together: fewer would wait for one another, more would leave less to overlap."""


class DistributedError(RuntimeError):
    """The ranks cannot work together; the message is one sentence that names the rank."""


def is_launched() -> bool:
    """Whether torchrun, or what sets its environment, started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_restarted() -> bool:
    """Whether torchrun started the ranks anew because one of them had failed."""
    return _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """All the ranks, while the block lasts: over NCCL for "cuda", where each takes the GPU of its local rank,
    and over gloo for "cpu" and "torch". DistributedError where torch is missing or the ranks do not meet."""
    try:
        import torch
    except ImportError as error:
        raise DistributedError(
            "training with several processes needs PyTorch, whose torchrun starts them: pip install torch"
        ) from error
    rank = int(os.environ["RANK"])
    if device == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise DistributedError(
                f"rank {rank} needs a GPU of its own: this machine has {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local)
    try:
        store, _, size = next(iter(torch.distributed.rendezvous("env://", timeout=PATIENCE)))
        # torchrun's store outlives a restart, and with it the addresses that the ranks had before.
        store = torch.distributed.PrefixStore(f"restart {_restarts()}", store)
        torch.distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo", timeout=PATIENCE, world_size=size, rank=rank, store=store
        )
    except (RuntimeError, ValueError) as error:
        raise DistributedError(f"rank {rank} cannot meet the others: {_told(error)}") from error
    yield Ranks()
    torch.distributed.destroy_process_group()  # after an error there may be nobody left to take leave of


class Ranks:
    """This process among the others. Every method is called by all of them, in the same order, and raises
    DistributedError where one is no longer there."""

    def __init__(self) -> None:
        from torch import distributed

        self._distributed: Any = distributed
        self.rank: int = distributed.get_rank()
        self.size: int = distributed.get_world_size()
        self._nccl = distributed.get_backend() == "nccl"

    def start_sum(self, array: Any) -> Any:
        """Begin to add the arrays of all ranks, each in the place of its own; `finish` takes the answer."""
        with self._alive():
            return self._distributed.all_reduce(_torch(array), async_op=True)

    def finish(self, work: Any) -> None:
        """Wait until what was begun has been done."""
        with self._alive():
            work.wait()

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all ranks; its gradient is the sum of theirs."""
        result: Tensor = all_reduce.call(x)
        return result

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance (over n) of each column of x, (rows, columns), over the rows of all ranks, and n.

        mean, variance: (1, columns); n: (1, 1). Their gradients are those of the joined rows.
        """
        rows = full((1, 1), float(x.shape[0]), dtype=x.dtype, device=x.device)
        sums = self.sum(cat([x.sum(0, keepdim=True), rows], dim=1))
        n = sums[:, -1:].detach()
        mean = sums[:, :-1] / n
        return mean, self.sum(((x - mean) ** 2).sum(0, keepdim=True)) / n, n

    def total(self, *mine: float) -> list[float]:
        """The sum of each number over all ranks."""
        sums = self.numbers(*mine)
        self.finish(self.start_sum(sums))
        result: list[float] = sums.tolist()
        return result

    def numbers(self, *mine: float) -> Any:
        """The float64 array of these numbers, where `start_sum` can take it."""
        return tensor(mine, dtype=float64, device="cuda" if self._nccl else "cpu").array

    def gather(self, x: Tensor) -> list[Tensor]:
        """The Tensors of all ranks, of one shape and dtype, by their ranks."""
        mine = _torch(x.detach().to("cuda" if self._nccl else "cpu").array)
        found = [mine.new_empty(mine.shape) for _ in range(self.size)]
        with self._alive():
            self._distributed.all_gather(found, mine)
        return [wrap(each).to("cpu") for each in found]

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the Tensors with those of rank 0."""
        for each in tensors:
            with self._alive():
                self._distributed.broadcast(_torch(each.array), src=0)

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise DistributedError(
                f"rank {self.rank} of {self.size} has lost another rank: {_told(error)}"
            ) from error


def _sum_over_ranks(xp: Any, x: Any, /) -> Any:
    """out = Σ x over the ranks;  dx = Σ dout over the ranks, since x is in the output of every rank."""
    out = xp.copy(x)
    ranks = Ranks()
    ranks.finish(ranks.start_sum(out))
    return out


all_reduce = Operation(_sum_over_ranks, {"x": lambda xp, dout: _sum_over_ranks(xp, dout)})
"""`torch.distributed.nn.functional.all_reduce`; not in the table, since one process alone cannot try it."""


class Gradients:
    """The gradients of some parameters, of the loss of all ranks together.

    They travel in buckets, filled from the last parameter to the first, the order in which backward makes
    them; a full one is on its way while backward goes on, as in Li et al., PyTorch Distributed: Experiences
    on Accelerating Data Parallel Training (2020). All ranks need the same parameters and the same graph.
    """

    def __init__(self, parameters: Iterable[Tensor], ranks: Ranks, bucket_bytes: int = BUCKET_BYTES) -> None:
        self._ranks = ranks
        self._leaves: dict[Node, _Bucket] = {}
        members: list[Tensor] = []
        self._buckets: list[_Bucket] = []
        for p in reversed(list(parameters)):
            size = sum(each.nbytes for each in members) + p.nbytes
            if members and (size > bucket_bytes or members[0].dtype != p.dtype):
                self._buckets.append(_Bucket(members))
                members = []
            members.append(p)
        self._buckets.append(_Bucket(members))
        for bucket in self._buckets:
            for p in bucket.parts:
                assert p.edge is not None
                self._leaves[p.edge] = bucket
                p.register_hook(partial(self._take, bucket, p))

    def backward(self, loss: Tensor, count: int, *numbers: float) -> tuple[float, list[float]]:
        """Set each parameter's gradient to that of the mean loss of the examples of all ranks.

        loss: this rank's mean over its `count` examples, (). Returns the mean of all, and the sums of the
        further numbers over the ranks, which travel along. DistributedError where a rank is lost.
        """
        sums = self._ranks.numbers(loss.item() * count, count, *numbers)
        self._works = [self._ranks.start_sum(sums)]
        self._due = iter(self._buckets)
        self._next = next(self._due, None)
        for bucket in self._buckets:
            bucket.awaited = set(bucket.parts)
        self._come_early(loss.edge)
        loss.backward(full((), float(count), dtype=loss.dtype, device=loss.device))
        while self._next is not None:  # what the loss does not depend on has not come
            self._send()
        for work in self._works:
            self._ranks.finish(work)
        total, whole, *others = sums.tolist()
        for bucket in self._buckets:
            bucket.hand_out(whole)
        return total / whole, others

    def _take(self, bucket: _Bucket, p: Tensor, grad: Tensor) -> None:
        bucket.parts[p][...] = grad.array
        bucket.awaited.discard(p)
        while self._next is not None and not self._next.awaited:
            self._send()

    def _send(self) -> None:
        """Send the next bucket: the ranks have to keep to one order."""
        assert self._next is not None
        self._works.append(self._ranks.start_sum(self._next.flat))
        self._next = next(self._due, None)

    def _come_early(self, root: Node | None) -> None:
        """Let backward come to each parameter right after the oldest of its uses; by its own age it would be
        among the last."""
        uses: dict[Node, int] = {}
        for node in ancestors([root]):  # the oldest first
            for edge in node.edges:
                if edge in self._leaves:
                    uses.setdefault(edge, node.order)
        for i, (leaf, order) in enumerate(uses.items(), start=1):
            # Between two whole numbers, so that no two nodes are of one age.
            leaf.order = order - i / (len(uses) + 1)  # type: ignore[assignment]


class _Bucket:
    """Gradients that travel together: `flat`, an array, and of each parameter its part of it."""

    def __init__(self, parameters: list[Tensor]) -> None:
        first = parameters[0]
        self.flat = zeros(sum(p.numel() for p in parameters), dtype=first.dtype, device=first.device).array
        self.parts: dict[Tensor, Any] = {}
        self.awaited: set[Tensor] = set()
        end = 0
        for p in parameters:
            start, end = end, end + p.numel()
            self.parts[p] = self.flat[start:end].reshape(tuple(p.shape))

    def hand_out(self, count: float) -> None:
        """Give each parameter that had a gradient its part, over `count`."""
        self.flat /= count
        for p, part in self.parts.items():
            if p not in self.awaited:
                p.grad = wrap(part)


def _torch(array: Any) -> Any:
    """The torch tensor of an array, in the same memory."""
    import torch

    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def _told(error: Exception) -> str:
    """The first sentence of what torch says, without the line of its source that begins it."""
    return re.sub(r"^\[\S*\] ", "", str(error).strip()).partition("\n")[0].partition(". ")[0]
