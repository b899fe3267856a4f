"""Several processes that share a training: their gradient is that of one process, and where one is killed
nothing is lost. gloo carries it; they are started as torchrun does, or by torchrun itself."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks
from command import ENVIRONMENT, SMALL, call, final_losses, posix, run, step_losses, succeeds, with_names
from every_model import EVERY_MODEL
from safetensors.numpy import load_file

import tinygrad_ninja
from tinygrad_ninja import Generator, from_numpy
from tinygrad_ninja.makemore.data import build_dataset
from tinygrad_ninja.makemore.parallel import ParallelTraining
from tinygrad_ninja.makemore.settings import Settings, SettingsError

OUT = Path("runs/bn-mlp")


def launched(folder: Path, *commands: tuple[str, ...]) -> list[tuple[int, str]]:
    """The status of each rank, which runs its command in the folder, and its errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(len(commands))}
    processes = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**ENVIRONMENT, **where, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for rank, command in enumerate(commands)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    return [(process.returncode, said) for process, said in zip(processes, errors, strict=True)]


@pytest.fixture(scope="module", params=[pytest.param(size, marks=pytest.mark.slow) for size in (2, 3)])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each of the ranks of `ranks.py` wrote."""
    folder, size = tmp_path_factory.mktemp("ranks"), request.param
    for status, errors in launched(folder, *[(ranks.__file__, str(folder))] * size):
        assert status == 0, errors
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(size)]


@pytest.fixture
def default_dtype() -> Iterator[None]:
    yield
    tinygrad_ninja.set_default_dtype(tinygrad_ninja.float32)


@pytest.mark.parametrize(("device", "tolerance"), [("cpu", 1e-13), ("torch", 1e-6)])
@pytest.mark.parametrize("name", EVERY_MODEL)
def test_the_gradient_of_all_ranks_is_that_of_the_joined_batch(
    found: list[dict[str, np.ndarray]], name: str, device: str, tolerance: float, default_dtype: None
) -> None:
    """Batch normalization, synchronized, and its running statistics included."""
    model = ranks.built(name, device)
    for buffer in model.buffers():
        buffer.zero_()
    loss = model.loss(*ranks.examples(model, device))
    loss.backward()
    expected = ranks.result(model) | {"loss": loss.detach().to("cpu").numpy()}
    for theirs in found:
        ours = {key: theirs[f"{device}/{name}/{key}"] for key in expected}
        for key, value in expected.items():
            np.testing.assert_allclose(
                ours[key], value, rtol=0, atol=tolerance * max(1, abs(value).max()), err_msg=key
            )


def test_gradients_travel_while_backward_goes_on(found: list[dict[str, np.ndarray]]) -> None:
    log = found[0]["events"].tolist()
    reached = log.index("first layer")
    assert log.count("sent") > 4
    assert log[:reached].count("sent") > 2  # the loss and the last layers
    assert "sent" in log[reached:]
    assert all(theirs["events"].tolist() == log for theirs in found)


def test_each_rank_draws_from_its_own_examples(found: list[dict[str, np.ndarray]]) -> None:
    shards = [theirs["seen"] for theirs in found]
    assert sorted(np.concatenate(shards).tolist()) == list(range(ranks.EXAMPLES))
    batches = [theirs["first"] for theirs in found]
    assert sum(map(len, batches)) == 7
    places = [np.searchsorted(shard, batch) for shard, batch in zip(shards, batches, strict=True)]
    assert places[0][:2].tolist() != places[1][:2].tolist()


class OfForty:
    """The ranks as a training sees them before it speaks to any."""

    rank, size = 0, 40


def test_more_ranks_than_examples_are_refused() -> None:
    X, Y = (from_numpy(each) for each in build_dataset(["ava"], ranks.VOCABULARY, 3))
    for name, changes in {"batch": {"batch": 79}, "data": {}}.items():
        settings = Settings.of("bn-mlp", hidden=4, **{"batch": 80, **changes})
        model, generator = settings.build(len(ranks.VOCABULARY), Generator()), Generator()
        with pytest.raises(SettingsError, match="40 ranks") as caught:
            ParallelTraining(model, settings, generator, (X, Y), (X, Y), OfForty())  # type: ignore[arg-type]
        assert caught.value.name == name


@pytest.mark.slow
def test_ranks_that_begin_differently_are_refused(tmp_path: Path) -> None:
    train = ("-m", "tinygrad_ninja", *SMALL)
    for rank, (status, errors) in enumerate(
        launched(with_names(tmp_path), train, (*train, "--hidden", "17"))
    ):
        assert status == 2
        assert errors == (
            f"error: --out: rank {1 - rank} begins with other settings or files than rank {rank}: all need "
            "the same\n"
        )


def test_without_torch_several_processes_are_refused_in_one_sentence(tmp_path: Path) -> None:
    program = (
        "import os, sys; sys.modules['torch'] = None; os.environ.update(RANK='0', WORLD_SIZE='2');"
        "from tinygrad_ninja.cli import main; main()"
    )
    result = run(with_names(tmp_path), *SMALL, python=("-c", program))
    assert result.returncode == 2
    assert re.fullmatch("error: training with several processes needs PyTorch.*\n", result.stderr)


# -- under torchrun ------------------------------------------------------------------------------------------

RUN = (*SMALL, "--steps", "600", "--eval-every", "200", "--save-every", "100")


def torchrun(folder: Path, size: int, *arguments: str, restarts: int = 0) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    return subprocess.Popen(
        [sys.executable, *launcher, f"--max-restarts={restarts}", "-m", "tinygrad_ninja", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def ended(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def kill_one(process: subprocess.Popen[str], after: str) -> float:
    """Kill the last rank once the line of this step is printed; when that was."""
    assert process.stdout is not None
    while not process.stdout.readline().lstrip().startswith(after):
        assert process.poll() is None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    return time.monotonic()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two ranks that was left alone."""
    folder = with_names(tmp_path_factory.mktemp("shared"))
    output = ended(torchrun(folder, 2, *RUN))
    assert list(step_losses(output)) == list(range(0, 600, 30))
    assert step_losses(output)[570] < step_losses(output)[0] - 0.3
    assert final_losses(output) == final_losses(succeeds(call(folder, "eval")))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
def test_a_rank_that_is_killed_ends_the_others_and_a_restart_loses_nothing(
    shared: Path, tmp_path: Path
) -> None:
    with_names(tmp_path)
    with torchrun(tmp_path, 2, *RUN, "--out", "once") as process:
        killed = kill_one(process, "90/")
        errors = process.communicate(timeout=60)[1]
    assert time.monotonic() - killed < 60
    said = re.findall("^error: .*", errors, re.MULTILINE)
    assert len(said) == 1
    assert re.fullmatch(
        r"error: rank 0 of 2 has lost another rank: .+; the last checkpoint is whole, go on with: torchrun "
        r"--nproc-per-node 2 -m tinygrad_ninja train --resume --out once",
        said[0],
    )

    with torchrun(tmp_path, 2, *RUN, restarts=1) as process:
        kill_one(process, "300/")
        ended(process)
    for name in ("model.safetensors", "checkpoint.safetensors"):
        ours, theirs = (load_file(folder / OUT / name) for folder in (tmp_path, shared))
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the training began with 3 processes")
@posix
def test_a_signal_stops_all_ranks_and_any_number_of_them_goes_on(tmp_path: Path) -> None:
    with_names(tmp_path)
    with torchrun(tmp_path, 2, *RUN) as process:
        assert process.stdout is not None
        while not process.stdout.readline().lstrip().startswith("90/"):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=60)[1]
    assert re.search("^stopped after [\\d,]+ of 600 steps; go on with: torchrun", errors, re.MULTILINE)
    done = len(load_file(tmp_path / OUT / "checkpoint.safetensors")["losses"])
    assert 90 < done < 600
    for size in (3, 1):  # which are more, and then one alone, without torchrun
        steps = str(600 + 60 // size)
        if size > 1:
            output = ended(torchrun(tmp_path, size, "train", "--resume", "--steps", steps))
        else:
            output = succeeds(call(tmp_path, "train", "--resume", "--steps", steps))
        assert final_losses(output)["train"] < 2.9
        assert len(load_file(tmp_path / OUT / "checkpoint.safetensors")["losses"]) == int(steps)
