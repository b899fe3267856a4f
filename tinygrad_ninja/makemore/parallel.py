"""A training run that several processes share: each computes a part of every batch, and all take the same
steps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .. import Generator, Tensor, tensor
from .models import Model
from .processes import Gradients, Ranks
from .settings import Settings, SettingsError
from .training import Examples, Training, count_targets, total_loss


class ParallelTraining(Training):
    """A Training that every rank has: the same model, every size-th example, its own random numbers.

    A step is that of the joined batch, of `settings.batch` examples: each rank draws its part of them, and
    the gradients are averaged over all. Batch normalization takes the statistics of each rank's part, and
    then ends with those of rank 0, or of the whole with `settings.sync_batchnorm`. All ranks call the same
    methods in the same order. Raises SettingsError where the batch or the data are too small for so many
    ranks.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        generator: Generator,
        train: Examples,
        dev: Examples,
        ranks: Ranks,
    ) -> None:
        smallest = 1 if settings.sync_batchnorm else model.smallest_batch
        if settings.batch < smallest * ranks.size:
            raise SettingsError("batch", f"{ranks.size} ranks need {smallest * ranks.size} examples or more")
        if len(train[0]) < ranks.size:
            raise SettingsError("data", f"{len(train[0])} examples are too few for {ranks.size} ranks")
        self.ranks = ranks
        self._wishes = self._agreed = False, False
        super().__init__(model, settings, _stream(generator, ranks.rank), train, dev, eager=True)
        self._gradients = Gradients(model.parameters(), ranks)
        if settings.sync_batchnorm:
            model.synchronize(ranks)

    def check_alike(self, words_sha256: str) -> None:
        """Raise SettingsError where another rank starts with other settings, words or parameters."""
        settings = replace(self.settings, data=None)  # a path, which may differ between machines
        digest = hashlib.sha256(f"{settings} {words_sha256} {self.step}".encode())
        for parameter in self.model.parameters():
            digest.update(parameter.detach().to("cpu").numpy().tobytes())
        for rank, other in enumerate(self.ranks.gather(tensor(list(digest.digest())))):
            if bytes(other.tolist()) != digest.digest():
                raise SettingsError(
                    "out",
                    f"rank {rank} begins with other settings or files than rank {self.ranks.rank}: "
                    "all need the same",
                )

    def decide(self, save: bool, stop: bool) -> tuple[bool, bool]:
        """Return whether to save and to stop now, which all ranks do one step after any of them wants to."""
        agreed = self._agreed
        self._wishes = save and not agreed[0], stop
        return agreed

    def finish(self) -> None:
        """Put the model into its final state, on this rank alone."""
        self.model.synchronize(None)  # rank 0 goes on alone
        super().finish()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of rank 0's Training, with the random number states of the other ranks."""
        streams = self.ranks.gather(self.generator.get_state())
        return super().state_dict() | {"other_generators": streams[1:]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state_dict` was called, by any number of ranks.

        Raises SettingsError where that is beyond `steps`.
        """
        super().load_state_dict(state)
        streams = [state["generator"], *state.get("other_generators", [])]
        rank = self.ranks.rank
        if rank < len(streams):
            self.generator.set_state(streams[rank])
        else:
            self.generator.set_state(_stream(self.generator, rank).get_state())

    @property
    def _batch(self) -> int:
        quotient, remainder = divmod(self.settings.batch, self.ranks.size)
        return quotient + (self.ranks.rank < remainder)

    def _share(self, examples: Examples) -> Examples:
        X, Y = examples
        return X[self.ranks.rank :: self.ranks.size], Y[self.ranks.rank :: self.ranks.size]

    def _backward(self) -> Callable[[Tensor, Tensor], Tensor]:
        return self._go_back

    def _go_back(self, loss: Tensor, targets: Tensor) -> Tensor:
        mean, wishes = self._gradients.backward(loss, count_targets(targets), *self._wishes)
        self._agreed = wishes[0] > 0, wishes[1] > 0
        return tensor(mean)

    def _dev_loss(self) -> float:
        self.ranks.take_from_first(self.model.buffers())
        X, Y = self._share(self.dev)
        total, count = self.ranks.total(total_loss(self.model, X, Y), count_targets(Y))
        return total / count


def _stream(first: Generator, rank: int) -> Generator:
    """Return the generator of a rank, seeded from rank 0's; for rank 0 itself, `first` unchanged."""
    if not rank:
        return first
    return Generator().manual_seed(int(first.clone_state().integers(0, 2**32, rank)[-1]))
