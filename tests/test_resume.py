"""Trainings that are stopped: by a signal, by a kill, by a full disk. They end as if they had not been."""

import contextlib
import errno
import json
import os
import random
import re
import shutil
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
from command import (
    ENVIRONMENT,
    SMALL,
    call,
    final_losses,
    linux,
    obey_permissions,
    posix,
    refuses,
    run,
    step_losses,
    succeeds,
    with_names,
)
from every_model import EVERY_MODEL
from safetensors.numpy import load_file

from tinygrad_ninja.makemore import checkpoint
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.makemore.run import Run, RunError, locked

pytestmark = pytest.mark.slow

OUT = Path("runs/bn-mlp")
OPTIONS = {"data": "names.txt", "hidden": 16, "steps": 200}  # as SMALL has them


class FullDisk(contextlib.nullcontext[None]):
    """A file that can be made, and not be written."""

    def __init__(self, **options: Any) -> None:
        super().__init__()

    def __enter__(self) -> Any:
        return self

    def write(self, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return with_names(tmp_path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a training that was left alone, and what it printed."""
    folder = with_names(tmp_path_factory.mktemp("alone"))
    return folder / OUT, succeeds(run(folder, *SMALL))


@pytest.fixture
def ended(folder: Path, alone: tuple[Path, str]) -> Path:
    shutil.copytree(alone[0], folder / OUT)
    return folder


def metrics(out: Path) -> list[dict[str, float]]:
    """The lines of the metrics, less what depends on the machine."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all(line.pop("steps_per_second") > 0 for line in lines)
    return lines


def assert_same_end(out: Path, printed: str, expected_out: Path, expected: str) -> None:
    """The files and the output of a training are, bit for bit, those of another."""
    for name in ("model.safetensors", "loss.png"):
        assert (out / name).read_bytes() == (expected_out / name).read_bytes(), name
    ours, theirs = (load_file(each / "checkpoint.safetensors") for each in (out, expected_out))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert metrics(out) == metrics(expected_out)
    passing = re.compile(r"(compiling the step|\d[\d,]* steps in|saved ).*\n")  # as the machine's speed is
    assert passing.sub("", printed) == passing.sub("", expected)


@contextlib.contextmanager
def started(folder: Path, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own that heeds Ctrl-C, also where the tests run in the background."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    command = [sys.executable, "-m", "tinygrad_ninja", *arguments]
    with subprocess.Popen(command, cwd=folder, **{"env": ENVIRONMENT, **pipes, **options}) as process:
        signal.signal(signal.SIGINT, handler)
        try:
            yield process
        finally:
            process.kill()


# -- the training itself, with every model -------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("model", EVERY_MODEL)
def test_every_model_goes_on_bit_for_bit(tmp_path: Path, model: str, device: str) -> None:
    sizes = {"embedding": 8, "hidden": 6, "layers": 2, "heads": 2}
    options = {"model": model, "data": str(with_names(tmp_path) / "names.txt"), "steps": 12, "batch": 8}
    options |= {name: size for name, size in sizes.items() if getattr(MODELS[model].recipe, name)}
    options |= {"eval_every": 3, "early_stop": 5}
    whole = Run.start(tmp_path / "whole", options, device)
    with whole.open():
        assert list(whole.train()) == list(range(1, 13))
        whole.finish()
    parts = Run.start(tmp_path / "parts", options, device)
    for stop in (1, 5, 12):
        with parts.open(replaces=True):
            for step in parts.train():
                if step == stop:
                    parts.save()
                    break
        parts = Run.resume(tmp_path / "parts", {}, device)
    with parts.open(replaces=True):
        assert not list(parts.train())
        parts.finish()
    for name in ("model.safetensors", "checkpoint.safetensors"):
        ours, theirs = (load_file(run.folder / name) for run in (parts, whole))
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")
    assert parts.training.dev_losses == whole.training.dev_losses
    assert metrics(parts.folder) == metrics(whole.folder)


@pytest.mark.parametrize("eager", [False, True])
def test_a_training_goes_on_compiled_or_eager_as_it_likes(folder: Path, eager: bool) -> None:
    whole = Run.start(folder / "whole", OPTIONS, "cpu", eager)
    with whole.open():
        assert len(list(whole.train())) == 200
    run = Run.start(folder / "parts", OPTIONS, "cpu", eager)
    with run.open():
        for step in run.train():
            if step == 100:
                run.save()
                break
    with pytest.warns(UserWarning, match="its last digits may differ"):
        run = Run.resume(folder / "parts", {}, "cpu", not eager)
    with run.open(replaces=True):
        assert len(list(run.train())) == 100
    np.testing.assert_array_equal(run.training.losses[:100], whole.training.losses[:100])
    np.testing.assert_allclose(run.training.losses, whole.training.losses, rtol=1e-5)


@posix
def test_a_training_that_can_not_go_on_as_it_began_says_so(ended: Path) -> None:
    """Or is refused, where it is to end in the same bits, and then can still go on."""
    more, without = ("train", "--resume", "--steps", "240", "--quiet"), {**ENVIRONMENT, "CC": "false"}
    began, compiled, straight = (
        "note: the training began with",
        "steps compiled as C",
        "steps compiled as NumPy",
    )
    with started(ended, *more, "--exact", env=without) as process:
        said = process.communicate(timeout=120)[1]
    differs = (
        f"the training began with {compiled}, and is to go on with {straight}: its last digits may differ"
    )
    assert process.returncode == 2
    assert said.endswith(f"error: --exact: {differs}\n")
    assert not (ended / OUT / ".lock").exists()
    for way, other in (
        (("--eager",), "compiled steps, and is to go on with eager steps"),
        (("--device", "torch"), "the device cpu, and is to go on with the device torch"),
    ):
        assert other in refuses(call(ended, *more, "--exact", *way))
        assert Run.saved_mode(ended / OUT) == ("cpu", False)
    assert began not in run(ended, *more, "--exact").stderr
    with started(ended, *more[:3], "260", "--quiet", env=without) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0
    assert f"note: {differs}\n" in said
    result = run(ended, *more[:3], "280", "--quiet")
    assert f"{began} {straight}, and is to go on with {compiled}" in result.stderr


def test_exact_is_for_trainings_that_go_on(folder: Path) -> None:
    assert "--resume" in refuses(call(folder, *SMALL, "--exact"))


@pytest.mark.filterwarnings("ignore:the training began with")
@pytest.mark.parametrize("way", [("cpu", True), ("torch", False), ("cpu", False)])
def test_a_resumed_training_goes_on_in_the_way_it_began(folder: Path, way: tuple[str, bool]) -> None:
    """On its device, and eager or compiled, unless told otherwise: to the same bits, not nearly so."""
    for name, stop in (("whole", 200), ("parts", 100)):
        run = Run.start(folder / name, OPTIONS, *way)
        with run.open():
            for step in run.train():
                if step == stop:
                    break
            run.save()
    succeeds(call(folder, "train", "--resume", "--out", "parts"))
    succeeds(call(folder, "train", "--resume", "--out", "whole"))
    ours, theirs = (load_file(folder / each / "model.safetensors") for each in ("parts", "whole"))
    for key in theirs:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    assert Run.saved_mode(folder / "parts") == way
    succeeds(call(folder, "train", "--resume", "--out", "parts", "--device", "cpu", "--compiled"))
    assert Run.saved_mode(folder / "parts") == ("cpu", False)


# -- stopped by a signal -------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(folder: Path, number: signal.Signals) -> None:
    long = ("--steps", "100000000")
    with started(folder, *SMALL, *long, "--out", "a folder") as process:
        assert process.stdout is not None
        while not step_losses(process.stdout.readline()):
            assert process.poll() is None
        process.send_signal(number)
        errors = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    said = re.fullmatch(r"stopped after ([\d,]+) of 100,000,000 steps; go on with: (ninja .*)\n", errors)
    assert said is not None, errors
    assert said[2] == "ninja train --resume --out 'a folder'"
    training = checkpoint.load(folder / "a folder" / "checkpoint.safetensors").training
    assert training is not None
    assert f"{training['step']:,}" == said[1]
    assert not (folder / "a folder" / "model.safetensors").exists()


@posix
def test_ctrl_c_while_the_last_step_is_saved_is_heeded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves = []

    def save_and_interrupt(run: Run) -> None:
        saves.append(run.training.step)
        save(run)
        if len(saves) == 1:
            signal.raise_signal(signal.SIGINT)

    save = Run.save
    monkeypatch.setattr(Run, "save", save_and_interrupt)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    result = call(folder, *SMALL, "--save-every", "200")
    signal.signal(signal.SIGINT, handler)
    assert (saves, result.returncode) == ([200, 200], 130)
    assert result.stderr.startswith("stopped after 200 of 200 steps; go on with: ninja train --resume")


def test_ctrl_c_after_the_last_step_says_how_to_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["tinygrad_ninja.cli.train"], "print_losses", interrupted)
        result = call(folder, *SMALL)
    assert result.returncode == 130
    assert result.stderr == f"interrupted; go on with: ninja train --resume --out {OUT}\n"
    assert final_losses(succeeds(call(folder, "train", "--resume")))


def test_ctrl_c_before_the_first_step_promises_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "start", interrupted)
    result = call(folder, *SMALL)
    assert result.returncode == 130
    assert result.stderr == "interrupted; nothing was saved yet\n"


def test_what_is_printed_and_saved_is_that_of_all_steps(folder: Path, alone: tuple[Path, str]) -> None:
    run = Run.start(OUT, OPTIONS, "cpu")
    with run.open():
        for step in run.train():
            if step == 77:
                run.save()
            if step == 93:  # and what was done since is lost
                break
    with (folder / OUT / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 94, "lo')
    result = call(folder, "train", "--resume")
    assert result.stderr == "note: going on after 77 steps\n"
    assert_same_end(folder / OUT, succeeds(result), *alone)
    again = call(folder, "train", "--resume")
    assert again.stderr == "note: going on after 200 steps\n"
    assert_same_end(folder / OUT, succeeds(again), *alone)


def test_resume_without_a_checkpoint_starts(folder: Path, alone: tuple[Path, str]) -> None:
    result = call(folder, *SMALL, "--resume")
    assert result.stderr.startswith(f"note: there is no {OUT / 'checkpoint.safetensors'} to go on from")
    assert_same_end(folder / OUT, succeeds(result), *alone)


def test_an_ended_training_can_be_extended(ended: Path, alone: tuple[Path, str]) -> None:
    output = succeeds(call(ended, "train", "--resume", "--steps", "300"))
    assert list(step_losses(output)) == list(range(0, 300, 15))
    assert metrics(ended / OUT)[:200] == metrics(alone[0])
    assert metrics(ended / OUT)[-1]["step"] == 300
    assert succeeds(call(ended, "train", "--resume", "--quiet")) in output


# -- stopped by anything -------------------------------------------------------------------------------------


def kill(process: subprocess.Popen[str], out: Path) -> None:
    process.kill()


def fill_the_disk(process: subprocess.Popen[str], out: Path) -> None:
    """From now on no file of the process can grow beyond 1,000 bytes."""
    import resource

    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, 1000))


def lock_the_folder(process: subprocess.Popen[str], out: Path) -> None:
    out.chmod(0o555)


def press_ctrl_c(process: subprocess.Popen[str], out: Path) -> None:
    process.send_signal(signal.SIGINT)


@linux
def test_fifty_kills_full_disks_and_locked_folders_change_nothing(folder: Path) -> None:
    train = ("train", "--data", "names.txt", "--hidden", "20", "--steps", "100000", "--eval-every", "10000")
    with started(folder, *train, "--out", "alone") as process:
        expected, errors = process.communicate()
    assert process.returncode == 0, errors

    out = folder / "stopped"
    out.mkdir()
    go_on = (*train, "--resume", "--out", out.name)
    draw = random.Random(2147483647)
    stops = [kill] * 50 + [fill_the_disk, lock_the_folder, press_ctrl_c] * 3
    draw.shuffle(stops)
    ends, beginnings = [], set()
    for stop in stops:
        more = ("--verbose", "--save-every", "50")
        with started(folder, *go_on, *more, preexec_fn=obey_permissions) as process:
            assert process.stdout is not None
            if stop is press_ctrl_c or draw.random() < 0.7:
                # It is at work when it prints its loops; otherwise it may be anywhere before that.
                any(line.startswith("the loops") for line in process.stdout)
            time.sleep(draw.uniform(0, 0.2))
            stop(process, out)
            errors = process.communicate()[1]
        out.chmod(0o755)
        ends.append((stop.__name__, process.returncode))
        beginnings.update(re.findall(r"going on after ([\d,]+) steps", errors))
        assert "Traceback" not in errors, errors
        if stop in (fill_the_disk, lock_the_folder):
            assert re.search(r"^error: cannot write to stopped.*: .+$", errors, re.MULTILINE), errors
    # As Python takes its leave, after the work is done, it hands Ctrl-C back to the system: -2.
    told = set(ends) - {("press_ctrl_c", -signal.SIGINT)}
    assert told == {("kill", -9), ("fill_the_disk", 2), ("lock_the_folder", 2), ("press_ctrl_c", 130)}
    assert len(beginnings) > 10

    with started(folder, *go_on) as process:
        printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_same_end(out, printed, folder / "alone", expected)
    assert {path.name for path in out.iterdir()} == {path.name for path in (folder / "alone").iterdir()}


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--hidden", "20"), "--hidden: the training in .* began with 16"),
        (("--seed", "7"), "--seed: the training in .* began with 2147483647"),
        (("--lr", "0.2"), "--lr: the training in .* began with 0.1"),
        (("--early-stop", "2"), "--early-stop: .*"),
        (("--calibrate",), "--calibrate: .*"),
        (("--out", str(OUT), "--model", "mlp"), "--model: the training in .* began with bn-mlp"),
        (("--steps", "100"), "--steps: the training has done 200 steps already"),
        (("--data", "others.txt"), "--data: these are not the words that the training in .* began with"),
        (("--data", "absent.txt"), "cannot read absent.txt"),
    ],
)
def test_a_training_that_goes_on_keeps_its_settings(
    ended: Path, arguments: tuple[str, ...], said: str
) -> None:
    (ended / "others.txt").write_text("emma\n" * 100)
    before = {path: path.read_bytes() for path in (ended / OUT).iterdir()}
    assert re.match(f"error: {said}", refuses(call(ended, "train", "--resume", *arguments)))
    assert {path: path.read_bytes() for path in (ended / OUT).iterdir()} == before


def test_the_same_settings_and_moved_words_are_no_contradiction(ended: Path) -> None:
    (ended / "names.txt").rename(ended / "moved.txt")
    succeeds(call(ended, "train", "--resume", "--hidden", "16", "--data", "moved.txt", "--quiet"))


@pytest.mark.parametrize("how", ["--resume", "--restart"])
def test_a_damaged_checkpoint_is_named_and_kept(ended: Path, how: str) -> None:
    path = ended / OUT / "checkpoint.safetensors"
    content = path.read_bytes()
    draw = random.Random(1)
    for position in [0, 9, *(draw.randrange(300, len(content)) for _ in range(5))]:
        flipped = bytearray(content)
        flipped[position] ^= 1
        for damaged in (bytes(flipped), content[:position]):
            path.write_bytes(damaged)
            assert str(OUT / "checkpoint.safetensors") in refuses(call(ended, "train", how))
            assert path.read_bytes() == damaged


def test_a_model_is_no_training(ended: Path) -> None:
    shutil.copy(ended / OUT / "model.safetensors", ended / OUT / "checkpoint.safetensors")
    assert "holds a model, but not its training" in refuses(call(ended, "train", "--resume"))


def test_an_unfinished_training_is_replaced_only_when_asked(folder: Path) -> None:
    run = Run.start(OUT, OPTIONS, "cpu")
    with run.open():
        next(run.train())
        run.save()
    said = refuses(call(folder, *SMALL))
    assert "holds a training that stopped after 1 steps" in said
    assert "--resume" in said
    assert "--restart" in said
    succeeds(call(folder, *SMALL, "--restart", "--quiet"))


def test_two_trainings_in_one_folder_are_one_too_many(folder: Path) -> None:
    run = Run.start(OUT, OPTIONS, "cpu")
    with run.open():
        assert refuses(call(folder, *SMALL)) == (
            f"error: another training is at work in {OUT}: choose another --out\n"
        )
    succeeds(call(folder, *SMALL, "--quiet"))


def test_the_folder_is_locked_before_its_checkpoint_is_read(
    ended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read then is what the training goes on from, and nobody has gone further meanwhile."""
    said = []
    resume = Run.resume

    def resume_twice(*arguments: Any, **options: Any) -> Run:
        if not said:
            said.append("")
            said.append(run(ended, "train", "--resume", "--steps", "300").stderr)
        return resume(*arguments, **options)

    monkeypatch.setattr(Run, "resume", resume_twice)
    succeeds(call(ended, "train", "--resume", "--steps", "250", "--quiet"))
    assert said[1] == f"error: another training is at work in {OUT}: choose another --out\n"
    succeeds(call(ended, "train", "--resume", "--steps", "300", "--quiet"))


def test_a_lock_is_removed_by_who_has_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with locked(OUT):
        assert (OUT / ".lock").exists()
        with pytest.raises(RunError, match="another training"), locked(OUT):
            pass
        OUT.rename("gone")
        with locked(OUT):
            pass
        OUT.mkdir(exist_ok=True)
        (OUT / ".lock").write_bytes(b"")  # another's
    assert [path.name for path in OUT.iterdir()] == [".lock"]


def test_a_folder_that_was_made_for_a_refused_training_is_not_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinygrad_ninja.makemore.run.TemporaryFile", FullDisk)
    assert "No space left on device" in refuses(call(folder, *SMALL, "--out", "new"))
    assert not (folder / "new").exists()


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_training_that_another_began_meanwhile_is_not_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, resume: list[str]
) -> None:
    """There was no folder to be locked when it started."""
    start = Run.start

    def start_second(*arguments: Any, **options: Any) -> Run:
        ours = start(*arguments, **options)
        first = start(OUT, OPTIONS, "cpu")
        with first.open():
            next(first.train())
            first.save()
        return ours

    monkeypatch.setattr(Run, "start", start_second)
    said = refuses(call(folder, *SMALL, *resume)) if not resume else call(folder, *SMALL, *resume).stderr
    assert "holds a training that stopped after 1 steps" in said
    assert Run.resume(OUT, {}, "cpu").training.step == 1


@posix
@pytest.mark.parametrize("name", ["metrics.jsonl", "loss.png"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / OUT).mkdir(parents=True)
    os.mkfifo(folder / OUT / name)
    assert name in refuses(call(folder, *SMALL))


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
@pytest.mark.parametrize(
    "name",
    ["checkpoint.safetensors", "model.safetensors", "metrics.jsonl", "loss.png", "names.txt", "tensorboard"],
)
def test_what_is_no_file_in_the_place_of_one_is_named(ended: Path, name: str, kind: str) -> None:
    """And neither waited for nor replaced; the folder is as it was."""
    path = ended / ("" if name == "names.txt" else OUT) / name
    if (kind, name) == ("folder", "tensorboard"):
        path.write_bytes(b"")  # which is to be one
    path.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "socket":
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(os.path.relpath(path))
        elif name == "tensorboard":
            path.write_bytes(b"")
        else:
            path.mkdir()
        before = {*(ended / OUT).iterdir()}
        result = call(ended, "train", "--resume", "--steps", "210", "--tensorboard")
    said = result.stderr.removeprefix("note: going on after 200 steps\n")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(rf"error: .*{re.escape(name)}.*\n", said), said
    assert {*(ended / OUT).iterdir()} == before


@pytest.mark.parametrize("left", [None, 0, 100])
def test_metrics_that_were_lost_are_told(ended: Path, left: int | None) -> None:
    """The training itself goes on."""
    file = ended / OUT / "metrics.jsonl"
    if left is None:
        file.unlink()
    else:
        os.truncate(file, left)
    result = run(ended, "train", "--resume", "--steps", "220", "--quiet")
    succeeds(result)
    assert f"note: {OUT / file.name} has lost lines of the steps up to 200\n" in result.stderr
    steps = [line["step"] for line in metrics(ended / OUT)]
    assert steps[-20:] == [*range(201, 221)]
    assert len(steps) == 20 + (left == 100)


def test_a_damaged_line_of_the_metrics_is_told(ended: Path) -> None:
    file = ended / OUT / "metrics.jsonl"
    content = bytearray(file.read_bytes())
    content[1000:1200] = bytes(200)
    file.write_bytes(content)
    result = run(ended, "train", "--resume", "--steps", "220", "--quiet", "--tensorboard")
    succeeds(result)
    assert f"note: {OUT / file.name} has lost lines of the steps up to 200\n" in result.stderr


def test_metrics_that_are_lost_while_the_training_lasts_are_told(ended: Path) -> None:
    """A file that was deleted begins anew; another that has taken its place is not written to."""
    file = OUT / "metrics.jsonl"
    message = re.escape(f"{file} has lost lines of the steps up to")
    run = Run.resume(OUT, {"steps": 260}, "cpu")
    with run.open():
        steps = run.train(save_every=1000)
        next(steps)
        run.save()
        file.unlink()
        next(steps)
        with pytest.warns(UserWarning, match=f"{message} 202"):
            run.save()
        next(steps)
        run.save()
        with file.open("r+b") as other:
            other.truncate(7)
        next(steps)
        with pytest.warns(UserWarning, match=f"{message} 204"):
            run.save()
        assert run.metrics_bytes == file.stat().st_size
        next(steps)
        run.save()
        file.rename(OUT / "elsewhere")
        file.write_text("mine", encoding="utf-8")
        with pytest.raises(RunError, match="another file has taken its place"):
            run.save()
    assert file.read_text(encoding="utf-8") == "mine"


@posix
def test_a_folder_that_is_deleted_is_not_said_to_hold_a_checkpoint(folder: Path) -> None:
    with started(folder, *SMALL[:-1], "1000000", "--save-every", "50") as process:
        checkpoint = folder / OUT / "checkpoint.safetensors"
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        (folder / OUT).rename(folder / "gone")
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "No such file or directory" in said
    assert said.endswith("; its checkpoint is gone\n")
