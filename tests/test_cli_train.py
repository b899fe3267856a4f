"""`ninja train` beyond the lecture: every model, dev losses, early stopping, metrics; and `ninja lr-find`."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from command import (
    ENVIRONMENT,
    SMALL,
    call,
    final_losses,
    posix,
    refuses,
    run,
    step_losses,
    succeeds,
    with_names,
)
from every_model import EVERY_MODEL
from safetensors.numpy import load_file

from tinygrad_ninja.cli.pictures import PLOTS
from tinygrad_ninja.makemore import checkpoint
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.program.compile.c.build import compiler

pytestmark = pytest.mark.slow

OUT = Path("runs/bn-mlp")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_names(tmp_path)


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def dev_lines(output: str) -> dict[int, float]:
    lines = re.findall(r"^ *(\d+)/ *\d+: dev (\S+)$", output, re.MULTILINE)
    return {int(step): float(loss) for step, loss in lines}


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_every_model_trains_samples_and_is_evaluated(folder: Path, model: str) -> None:
    sizes = {"embedding": 8, "hidden": 8, "layers": 1, "heads": 2}
    small = [f"--{name}={size}" for name, size in sizes.items() if getattr(MODELS[model].recipe, name)]
    arguments = ("--model", model, *small, "--data", "names.txt", "--steps", "30", "--batch", "32")
    output = succeeds(call(folder, "train", *arguments))
    file = f"runs/{model}/model.safetensors"
    assert final_losses(succeeds(call(folder, "eval", file))) == final_losses(output)
    assert f"20 new words:\n{succeeds(call(folder, 'sample', file))}\n" in output


def test_without_options_a_model_has_the_sizes_of_the_help(folder: Path) -> None:
    lines = succeeds(call(folder, "train", "--help")).splitlines()
    [head] = [line for line in lines if line.split()[:2] == ["model", "context"]]
    for name, model in MODELS.items():
        [line] = [line for line in lines if line.split()[:1] == [name]]
        for size in head.split()[1:]:
            end = head.index(size) + len(size)  # the numbers end below their heads
            shown = line[:end].split()[-1] if line[end - 1] != " " else "0"
            assert float(shown.replace(",", "")) == getattr(model.recipe, size), (name, size)


def test_metrics_are_a_json_object_a_line(folder: Path) -> None:
    output = succeeds(call(folder, *SMALL, "--steps", "2500", "--eval-every", "999"))
    lines = metrics(folder / OUT)
    losses = load_file(folder / OUT / "checkpoint.safetensors")["losses"]
    assert [line["step"] for line in lines] == sorted({*range(2, 2501, 2), 999, 1998})
    for line in lines:
        step = int(line["step"])
        assert line["loss"] == pytest.approx(losses[max(0, step - 2) : step].mean(dtype=np.float64), rel=1e-6)
        assert line["lr"] == (0.1 if step <= 1250 else 0.01)
        assert line["steps_per_second"] > 0
    dev = {int(line["step"]): line["dev_loss"] for line in lines if "dev_loss" in line}
    assert list(dev) == [999, 1998]
    assert dev_lines(output) == pytest.approx(dev, abs=5e-5)


def test_early_stopping_says_when_and_keeps_the_best(folder: Path) -> None:
    arguments = ("--model", "mlp", "--lr", "3", "--steps", "3000", "--eval-every", "20", "--early-stop", "3")
    output = succeeds(call(folder, *SMALL, *arguments))
    dev = dev_lines(output)
    best = min(dev, key=dev.__getitem__)
    assert f"stopped early: the dev loss was lowest after {best} steps" in output
    assert max(dev) == best + 60 < 3000
    assert final_losses(output)["dev"] == dev[best]
    assert final_losses(succeeds(call(folder, "eval", "runs/mlp/model.safetensors"))) == final_losses(output)
    again = call(folder, "train", "--resume", "--out", "runs/mlp")
    assert dev_lines(succeeds(again)) == dev


def test_early_stopping_alone_evaluates_a_hundred_times(folder: Path) -> None:
    output = succeeds(call(folder, *SMALL, "--early-stop", "100"))
    assert list(dev_lines(output)) == list(range(2, 201, 2))


def test_calibration_changes_the_statistics_alone(folder: Path) -> None:
    for name, more in {"running": (), "whole": ("--calibrate",)}.items():
        succeeds(call(folder, *SMALL, *more, "--out", name, "--quiet"))
    running, whole = (load_file(folder / name / "model.safetensors") for name in ("running", "whole"))
    differing = {name for name in running if not np.array_equal(running[name], whole[name])}
    assert differing == {"bnmean_running", "bnstd_running"}
    evaluated = succeeds(call(folder, "eval", "running/model.safetensors", "--calibrate"))
    assert final_losses(evaluated) == final_losses(succeeds(call(folder, "eval", "whole/model.safetensors")))
    assert final_losses(evaluated) != final_losses(
        succeeds(call(folder, "eval", "running/model.safetensors"))
    )


def test_eager_and_compiled_steps_agree(folder: Path) -> None:
    compiled, eager = (succeeds(call(folder, *SMALL, *more, "--restart")) for more in ((), ("--eager",)))
    # One step of the last printed digit.
    assert step_losses(eager) == pytest.approx(step_losses(compiled), abs=1.01e-4)
    assert final_losses(eager) == pytest.approx(final_losses(compiled), abs=1.01e-4)


def test_verbose_prints_the_loops_of_the_compiled_step(folder: Path) -> None:
    told = "the loops of the compiled step:\n"
    loops = succeeds(call(folder, *SMALL, "--verbose")).partition(told)[2]
    assert re.match(r"(  \S.*\n)+ *10/ *200: ", loops)
    assert told not in succeeds(call(folder, *SMALL, "--verbose", "--eager", "--restart"))
    assert "--verbose" in refuses(call(folder, *SMALL, "--verbose", "--quiet"))


@posix
def test_a_line_says_that_the_step_is_compiled_where_that_takes_a_second(folder: Path) -> None:
    slow, cache = folder / "slow", folder / "cache"
    slow.write_text(f'#!/bin/sh\nsleep 2\nexec {shlex.join(compiler())} "$@"\n', encoding="utf-8")
    slow.chmod(0o700)
    environment = {**ENVIRONMENT, "CC": str(slow), "TINYGRAD_NINJA_CACHE": str(cache)}
    said = []
    for more in ((), ("--eager",), ("--quiet",)):
        shutil.rmtree(cache, ignore_errors=True)
        output = succeeds(run(folder, *SMALL, "--restart", *more, environment=environment))
        said.append(output.count("compiling the step …\n"))
    assert said == [1, 0, 0]


@posix
def test_where_no_compiler_works_numpy_runs_the_step_and_that_is_said(folder: Path) -> None:
    without = "import os; os.environ['CC'] = 'false'; from tinygrad_ninja.cli import main; main()"
    result = run(folder, *SMALL, "--quiet", python=("-c", without))
    assert re.fullmatch("note: false failed; .* run as straight-line NumPy instead\n", result.stderr)
    assert succeeds(result) == succeeds(call(folder, *SMALL, "--quiet", "--eager", "--restart"))


def test_a_checkpoint_can_be_evaluated_before_its_training_has_ended(folder: Path) -> None:
    output = succeeds(call(folder, *SMALL))
    assert final_losses(succeeds(call(folder, "eval", str(OUT / "checkpoint.safetensors")))) == final_losses(
        output
    )


def test_words_with_other_letters_are_named_with_the_letter(folder: Path) -> None:
    succeeds(call(folder, *SMALL, "--quiet"))
    (folder / "others.txt").write_text("emma\n" * 20 + "zoë\n" * 20, encoding="utf-8")
    said = call(folder, "eval", "--data", "others.txt")
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == (
        "error: the word 'zoë' has the letter 'ë', which the vocabulary has not"
    )


def test_without_tensorboard_its_option_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert "TensorBoard is missing" in refuses(call(folder, *SMALL, "--tensorboard"))
    assert not (folder / "runs").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_the_metrics_once_also_after_a_resume(folder: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
    )
    tensor_util = pytest.importorskip("tensorboard.util.tensor_util")
    succeeds(call(folder, *SMALL, "--eval-every", "50", "--tensorboard"))
    succeeds(call(folder, "train", "--resume", "--steps", "300", "--tensorboard"))
    events = accumulator.EventAccumulator(str(folder / OUT / "tensorboard"), {"tensors": 0})
    events.Reload()
    lines = metrics(folder / OUT)
    assert set(events.Tags()["tensors"]) == {"loss", "lr", "dev_loss", "steps_per_second"}
    for tag in ("loss", "lr", "dev_loss"):
        shown = [
            (event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in events.Tensors(tag)
        ]
        expected = [(line["step"], np.float32(line[tag])) for line in lines if tag in line]
        assert shown == expected


def test_lr_find_prints_a_table_and_saves_a_picture(folder: Path) -> None:
    arguments = ("lr-find", "--data", "names.txt", "--hidden", "16", "--steps", "300")
    output = succeeds(call(folder, *arguments))
    rows = re.findall(r"^\W+(\d\S*) \W+(\d+\.\d{4})", output, re.MULTILINE)
    rates = [float(rate) for rate, _ in rows]
    assert len(rows) == 15
    assert rates == sorted(rates)
    assert rates[0] == 1e-4
    found = re.search(r"^The loss falls fastest at (\S+), and is lowest at (\S+)\.$", output, re.MULTILINE)
    assert found is not None
    assert rates[0] < float(found[1]) <= float(found[2]) <= rates[-1]
    picture = folder / OUT / "lr.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.write_bytes(b"mine")
    assert str(OUT / "lr.png") in refuses(call(folder, *arguments))
    assert picture.read_bytes() == b"mine"


def test_a_rate_of_the_search_is_the_trainings(folder: Path) -> None:
    """The first step of the search is the first step of the training."""
    output = succeeds(call(folder, "lr-find", "--data", "names.txt", "--hidden", "16", "--steps", "20"))
    first = float(re.findall(r"^\W+0\.0001 \W+(\d+\.\d{4})", output, re.MULTILINE)[0])
    assert step_losses(succeeds(call(folder, *SMALL)))[0] == pytest.approx(first, abs=1e-4)
    assert checkpoint.load(folder / OUT / "model.safetensors").settings.lr == 0.1


@pytest.mark.parametrize("model", ["bn-mlp", "gpt"])
def test_plots(folder: Path, model: str) -> None:
    sizes = ("--embedding", "8", "--layers", "1", "--heads", "2") if model == "gpt" else ("--hidden", "16")
    arguments = ("train", "--data", "names.txt", "--model", model, *sizes, "--steps", "60")
    output = succeeds(call(folder, *arguments, "--plots", "plots"))
    assert "saved the plots in plots" in output
    found = {path.stem for path in (folder / "plots").iterdir()}
    # gpt's loss, which leaves some letters out, is no single cross-entropy that has logits.
    assert found == {*PLOTS} - ({"dlogits"} if model == "gpt" else set())
    for path in (folder / "plots").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    # The batch that the plots are of leaves no trace in the model.
    without = folder / "without"
    succeeds(call(folder, *arguments, "--out", str(without)))
    ours, theirs = (load_file(out / "model.safetensors") for out in (folder / "runs" / model, without))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_plots_replace_nobody_else_s_file(folder: Path) -> None:
    (folder / "plots").mkdir()
    (folder / "plots" / "updates.png").write_text("mine")
    assert "updates.png is there, and not by ninja: move it away, or choose" in refuses(
        call(folder, *SMALL, "--plots", "plots")
    )
    assert (folder / "plots" / "updates.png").read_text() == "mine"
