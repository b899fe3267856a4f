"""Data-parallel training through `torch.distributed`: several processes, the ranks, compute one gradient from
a part of the examples each.

    torchrun --nproc-per-node 2 -m tinygrad_ninja train

torchrun starts the ranks and sets their environment, by which they find each other. They exchange torch
tensors: gloo uses NumPy's memory directly, NCCL that of the GPU.
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

from ..api.creation import full, tensor, zeros
from ..api.joining import cat
from ..arrays.dtypes import float64
from ..engine.node import Node, ancestors
from ..engine.tensor import Tensor, wrap
from ..ops import Operation

TIMEOUT = timedelta(seconds=45)
"""The longest that a rank waits for another that does not answer; one that has died is noticed at once."""

BUCKET_BYTES = 1 << 20
"""The size of the gradients sent together: smaller ones would wait for one another, larger ones leave less to
overlap with backward."""


class DistributedError(RuntimeError):
    """The ranks cannot work together; the message is one sentence that names the rank."""


def is_launched() -> bool:
    """Return whether torchrun, or a launcher that sets its environment, started this process as one of
    several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_restarted() -> bool:
    """Return whether torchrun restarted the ranks because one of them had failed."""
    return _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """Connect all the ranks while the block lasts.

    They use NCCL for "cuda", where each takes the GPU of its local rank, and gloo for "cpu" and "torch".
    Raises DistributedError where torch is missing, the GPU of the rank does not exist, or the ranks do not
    meet.
    """
    try:
        import torch
    except ImportError as error:
        raise DistributedError(
            "training with several processes needs PyTorch, whose torchrun starts them: pip install torch"
        ) from error
    rank = int(os.environ["RANK"])
    if device == "cuda":
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        if local_rank >= torch.cuda.device_count():
            raise DistributedError(
                f"rank {rank} needs a GPU of its own: this machine has {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local_rank)
    try:
        store, _, size = next(iter(torch.distributed.rendezvous("env://", timeout=TIMEOUT)))
        # torchrun's store outlives a restart, and so do the ranks' old addresses in it.
        store = torch.distributed.PrefixStore(f"restart {_restarts()}", store)
        torch.distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo", timeout=TIMEOUT, world_size=size, rank=rank, store=store
        )
    except (RuntimeError, ValueError) as error:
        raise DistributedError(f"rank {rank} cannot meet the others: {_first_sentence(error)}") from error
    yield Ranks()
    torch.distributed.destroy_process_group()  # not after an error, when no other rank may be left


class Ranks:
    """This process among the others.

    All ranks must call every method in the same order; it raises DistributedError where one of them is gone.
    """

    def __init__(self) -> None:
        from torch import distributed

        self._distributed: Any = distributed
        self.rank: int = distributed.get_rank()
        self.size: int = distributed.get_world_size()
        self._nccl = distributed.get_backend() == "nccl"

    def start_sum(self, array: Any) -> Any:
        """Start to replace the array of each rank by the sum over all, in place; `finish` waits for the
        result."""
        with self._alive():
            return self._distributed.all_reduce(_torch(array), async_op=True)

    def finish(self, work: Any) -> None:
        """Wait until a sum that was started is done."""
        with self._alive():
            work.wait()

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum over all ranks, of the shape and dtype of x; its gradient is the sum of all
        gradients."""
        result: Tensor = all_reduce.call(x)
        return result

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean and the variance (over n) of each column of x over the rows of all ranks, and n.

        x: (rows, columns); mean, variance: (1, columns); n: (1, 1). Their gradients are those of the joined
        rows.
        """
        rows = full((1, 1), float(x.shape[0]), dtype=x.dtype, device=x.device)
        sums = self.sum(cat([x.sum(0, keepdim=True), rows], dim=1))
        n = sums[:, -1:].detach()
        mean = sums[:, :-1] / n
        return mean, self.sum(((x - mean) ** 2).sum(0, keepdim=True)) / n, n

    def total(self, *mine: float) -> list[float]:
        """Return the sum of each number over all ranks."""
        sums = self.numbers(*mine)
        self.finish(self.start_sum(sums))
        result: list[float] = sums.tolist()
        return result

    def numbers(self, *mine: float) -> Any:
        """Return a float64 array of these numbers, on the device where `start_sum` takes it."""
        return tensor(mine, dtype=float64, device="cuda" if self._nccl else "cpu").array

    def gather(self, x: Tensor) -> list[Tensor]:
        """Return the Tensors of all ranks, which have one shape and dtype, in the order of the ranks; on the
        CPU."""
        mine = _torch(x.detach().to("cuda" if self._nccl else "cpu").array)
        gathered = [mine.new_empty(mine.shape) for _ in range(self.size)]
        with self._alive():
            self._distributed.all_gather(gathered, mine)
        return [wrap(part).to("cpu") for part in gathered]

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the Tensors with those of rank 0, in place."""
        for x in tensors:
            with self._alive():
                self._distributed.broadcast(_torch(x.array), src=0)

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise DistributedError(
                f"rank {self.rank} of {self.size} has lost another rank: {_first_sentence(error)}"
            ) from error


def _sum_over_ranks(xp: Any, x: Any, /) -> Any:
    """out = Σ x over the ranks;  dx = Σ dout over the ranks, since x is in the output of every rank."""
    out = xp.copy(x)
    ranks = Ranks()
    ranks.finish(ranks.start_sum(out))
    return out


all_reduce = Operation(_sum_over_ranks, {"x": lambda xp, dout: _sum_over_ranks(xp, dout)})
"""`torch.distributed.nn.functional.all_reduce`; not in the table, since one process alone cannot test it."""


class Gradients:
    """The gradients of some parameters for the loss of all ranks together.

    They are sent in buckets, filled from the last parameter to the first, the order in which backward
    computes them; a full bucket is sent while backward continues, as in Li et al., PyTorch Distributed:
    Experiences on Accelerating Data Parallel Training (2020). All ranks need the same parameters and the same
    graph.
    """

    def __init__(self, parameters: Iterable[Tensor], ranks: Ranks, bucket_bytes: int = BUCKET_BYTES) -> None:
        self._ranks = ranks
        self._leaves: dict[Node, _Bucket] = {}
        members: list[Tensor] = []
        self._buckets: list[_Bucket] = []
        for p in reversed(list(parameters)):
            size = sum(member.nbytes for member in members) + p.nbytes
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
        """Set each parameter's gradient to that of the mean loss over the examples of all ranks.

        loss: this rank's mean over its `count` examples, (). Returns the mean over all, and the sums of
        `numbers` over the ranks, which are sent along. Raises DistributedError where a rank is lost.
        """
        sums = self._ranks.numbers(loss.item() * count, count, *numbers)
        self._works = [self._ranks.start_sum(sums)]
        self._due = iter(self._buckets)
        self._next = next(self._due, None)
        for bucket in self._buckets:
            bucket.awaited = set(bucket.parts)
        self._visit_parameters_early(loss.edge)
        loss.backward(full((), float(count), dtype=loss.dtype, device=loss.device))
        while self._next is not None:  # gradients of parameters that the loss does not depend on
            self._send()
        for work in self._works:
            self._ranks.finish(work)
        total, total_count, *others = sums.tolist()
        for bucket in self._buckets:
            bucket.hand_out(total_count)
        return total / total_count, others

    def _take(self, bucket: _Bucket, p: Tensor, grad: Tensor) -> None:
        bucket.parts[p][...] = grad.array
        bucket.awaited.discard(p)
        while self._next is not None and not self._next.awaited:
            self._send()

    def _send(self) -> None:
        """Send the next bucket: all ranks send them in the same order."""
        assert self._next is not None
        self._works.append(self._ranks.start_sum(self._next.flat))
        self._next = next(self._due, None)

    def _visit_parameters_early(self, root: Node | None) -> None:
        """Let backward visit each parameter right after the oldest of its uses, where by its own age it would
        be among the last."""
        uses: dict[Node, int] = {}
        for node in ancestors([root]):  # the oldest first
            for edge in node.edges:
                if edge in self._leaves:
                    uses.setdefault(edge, node.order)
        for i, (leaf, order) in enumerate(uses.items(), start=1):
            # Between two whole numbers, so that no two nodes are of one age.
            leaf.order = order - i / (len(uses) + 1)  # type: ignore[assignment]


class _Bucket:
    """Gradients that are sent together: `flat`, an array, and the part of it that belongs to each
    parameter."""

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
        """Divide the sums by `count`, and make each part its parameter's gradient, if it received one."""
        self.flat /= count
        for p, part in self.parts.items():
            if p not in self.awaited:
                p.grad = wrap(part)


def _torch(array: Any) -> Any:
    """Return the array as a torch tensor, in the same memory."""
    import torch

    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def _first_sentence(error: Exception) -> str:
    """Return the first sentence of torch's message, without the source line at its beginning."""
    return re.sub(r"^\[\S*\] ", "", str(error).strip()).partition("\n")[0].partition(". ")[0]
