"""The command line, run as a person runs it: in a process of its own, in a folder of its own."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from command import (
    ENVIRONMENT,
    SMALL,
    WITHOUT_TORCH,
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
from lecture_list import LECTURE_LIST, needs_lecture_list
from safetensors.numpy import save as serialize

from tinygrad_ninja.makemore.data import read_words

LECTURE_LOSSES = """
    3.3239 2.0322 2.5675 2.0125 2.2446 1.8897 2.0785 2.3681 2.2918 2.0238
    2.3673 2.3132 1.6414 1.9311 2.2231 2.0027 2.0997 2.4949 2.0199 2.1707
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_names(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder where a training ended, and what it printed."""
    folder = with_names(tmp_path_factory.mktemp("trained"))
    return folder, succeeds(run(folder, *SMALL))


def test_training_prints_the_steps_the_losses_the_names_and_where_it_saved(trained: tuple[Path, str]) -> None:
    folder, output = trained
    assert list(step_losses(output)) == list(range(0, 200, 10))
    assert final_losses(output).keys() == {"train", "dev", "test"}
    names = output.partition("20 new words:\n")[2].partition("\n\n")[0].split("\n")
    assert len(names) == 20
    assert all(re.fullmatch("[a-z]*", name) for name in names)
    checkpoint, picture = Path("runs/bn-mlp/model.safetensors"), Path("runs/bn-mlp/loss.png")
    assert str(checkpoint) in output
    assert str(picture) in output
    assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (folder / picture).parent.iterdir()} == {
        "checkpoint.safetensors",
        "loss.png",
        "metrics.jsonl",
        "model.safetensors",
    }


@pytest.mark.slow
def test_the_same_seed_gives_the_same_training(trained: tuple[Path, str], folder: Path) -> None:
    again = succeeds(call(folder, *SMALL))
    other = succeeds(call(folder, *SMALL, "--seed", "1", "--out", "other"))
    assert step_losses(again) == step_losses(trained[1]) != step_losses(other)
    checkpoint = (trained[0] / "runs/bn-mlp/model.safetensors").read_bytes()
    assert (folder / "runs/bn-mlp/model.safetensors").read_bytes() == checkpoint
    assert (folder / "other/model.safetensors").read_bytes() != checkpoint


def test_a_checkpoint_gives_the_losses_and_the_names_of_its_training(trained: tuple[Path, str]) -> None:
    folder, output = trained
    assert final_losses(succeeds(call(folder, "eval"))) == final_losses(output)
    assert f"20 new words:\n{succeeds(call(folder, 'sample'))}\n" in output
    three = succeeds(call(folder, "sample", "runs/bn-mlp/model.safetensors", "--count", "3", "--seed", "5"))
    assert len(three.splitlines()) == 3
    assert three not in output


def test_evaluating_other_words_says_so(trained: tuple[Path, str]) -> None:
    folder, output = trained
    (folder / "others.txt").write_text("\n".join(read_words()[1000:1100]), encoding="utf-8")
    process = call(folder, "eval", "--data", "others.txt")
    assert process.returncode == 0
    assert "not the words that the model was trained on" in process.stderr
    assert final_losses(process.stdout) != final_losses(output)
    (folder / "umlaut.txt").write_text("zoë\n" * 20, encoding="utf-8")
    assert "'ë'" in call(folder, "eval", "--data", "umlaut.txt").stderr.splitlines()[-1]


def test_quiet_prints_the_results_only(trained: tuple[Path, str], folder: Path) -> None:
    output = succeeds(call(folder, *SMALL, "--quiet"))
    assert step_losses(output) == {}
    assert trained[1].endswith(output)


@pytest.mark.parametrize("model", [pytest.param("mlp", marks=pytest.mark.slow), "bn-mlp"])
def test_torch_tensors_give_the_same_losses(folder: Path, model: str) -> None:
    on_numpy, on_torch = (
        succeeds(call(folder, *SMALL, "--model", model, "--device", device, "--out", device))
        for device in ("cpu", "torch")
    )
    # One step of the last printed digit.
    assert step_losses(on_torch) == pytest.approx(step_losses(on_numpy), abs=1.01e-4)
    assert final_losses(on_torch) == pytest.approx(final_losses(on_numpy), abs=1.01e-4)


def test_training_needs_no_torch(trained: tuple[Path, str], folder: Path) -> None:
    assert step_losses(succeeds(run(folder, *SMALL, python=WITHOUT_TORCH))) == step_losses(trained[1])
    for device in ("torch", "cuda"):
        process = run(folder, *SMALL, "--device", device, "--restart", python=WITHOUT_TORCH)
        assert process.returncode == 2
        assert re.fullmatch(r"error: .*torch.*\n", process.stderr, re.IGNORECASE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_cuda_is_refused(folder: Path) -> None:
    assert re.search("cuda|GPU", refuses(call(folder, *SMALL, "--device", "cuda")))
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--data", "absent.txt"), "absent.txt"),
        (("--data", "."), "cannot read ."),
        (("--data", "empty.txt"), "empty.txt has no usable word"),
        (("--data", "few.txt"), "few.txt has"),
        (("--steps", "0"), "--steps"),
        (("--steps", "many"), "--steps"),
        (("--hidden", "-1"), "--hidden"),
        (("--hidden", "1000000000000"), "--hidden"),
        (("--embedding", "0"), "--embedding"),
        (("--context", "0"), "--context"),
        (("--batch", "0"), "--batch"),
        (("--batch", "1"), "batch normalization needs two examples"),
        (("--lr", "0"), "--lr"),
        (("--lr", "nan"), "--lr"),
        (("--lr", "inf"), "--lr"),
        (("--seed", "-1"), "--seed"),
        (("--model", "perceptron"), "--model"),
        (("--device", "tpu"), "--device"),
        (("--layers", "3"), "--layers"),
        (("--width", "3"), "--width"),
        (("--model", "wavenet", "--context", "3"), "context"),
        (("--model", "mlp", "--calibrate"), "mlp has no batch normalization"),
        (("--resume", "--restart"), "--restart"),
        (("--early-stop", "0"), "--early-stop"),
        (("--out", "names.txt"), "names.txt"),
        (("--out", "names.txt/below"), "names.txt"),
        (("more",), "more"),
    ],
)
def test_a_training_refuses_bad_input(folder: Path, arguments: tuple[str, ...], named: str) -> None:
    (folder / "empty.txt").touch()
    (folder / "few.txt").write_text("emma\nolivia\n")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert named in refuses(call(folder, *SMALL, *arguments))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_batch_of_one_is_enough_without_batch_normalization(folder: Path) -> None:
    assert step_losses(succeeds(call(folder, *SMALL, "--model", "mlp", "--batch", "1", "--eager")))


def test_a_training_that_diverges_says_where_and_saves_no_model(folder: Path) -> None:
    process = call(folder, *SMALL, "--batch", "2", "--steps", "5000", "--quiet")
    assert process.returncode == 2
    assert re.fullmatch(r"error: the loss became nan at step \d+: try .+\n", process.stderr)
    assert re.search(
        r"; runs.bn-mlp.checkpoint\.safetensors is as it was after 0 steps$", process.stderr.rstrip()
    )
    assert not (folder / "runs/bn-mlp/model.safetensors").exists()
    assert step_losses(succeeds(call(folder, *SMALL)))  # there is nothing that this could lose


def test_a_training_whose_last_step_diverges_saves_no_model(folder: Path) -> None:
    """The loss of its last step is a number, and that of the next would be none."""
    sizes = ("--embedding", "8", "--layers", "1", "--heads", "2", "--context", "4")
    diverging = ("--model", "gpt", *sizes, "--lr", "1e5", "--eager")
    arguments = ("train", "--data", "names.txt", *diverging, "--quiet", "--save-every", "1")
    first = refuses(call(folder, *arguments, "--steps", "100"))
    found = re.search(r"became \w+ at step (\d+): .* after (\d+) steps$", first.rstrip())
    assert found is not None
    step, kept = map(int, found.groups())
    assert 0 < kept < step
    again = refuses(call(folder, *arguments, "--steps", str(step), "--restart"))
    assert re.search(rf"became \w+ at step {step}: try a smaller .* after {kept} steps$", again.rstrip())
    assert not (folder / "runs/gpt/model.safetensors").exists()
    assert succeeds(call(folder, "sample", "runs/gpt/checkpoint.safetensors", "--count", "1"))


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors", "metrics.jsonl", "loss.png"])
def test_a_training_does_not_replace_what_is_not_its_own(folder: Path, name: str) -> None:
    file = folder / "out" / name
    file.parent.mkdir()
    for content in (b" ", b"mine", serialize({}), b"\x89PNG\r\n\x1a\n"):
        file.write_bytes(content)
        said = refuses(call(folder, *SMALL, "--out", "out"))
        assert str(Path("out", name)) in said
        assert "choose another --out" in said
        assert file.read_bytes() == content
        assert [*file.parent.iterdir()] == [file]


@pytest.mark.slow
def test_a_training_replaces_a_finished_one_only_when_told(folder: Path) -> None:
    model = folder / "runs/bn-mlp/model.safetensors"
    succeeds(call(folder, *SMALL, "--steps", "5", "--eager"))
    (folder / "runs/bn-mlp-2").mkdir()
    before = model.read_bytes()
    said = refuses(call(folder, *SMALL, "--steps", "6"))
    assert f"{Path('runs/bn-mlp')} holds a model: choose another folder, such as --out" in said
    assert f"--out {Path('runs/bn-mlp-3')}, or replace it by --restart" in said
    assert model.read_bytes() == before
    for flag in ("--restart", "--force"):
        succeeds(call(folder, *SMALL, "--steps", "6", "--eager", flag))
    assert model.read_bytes() != before


def test_a_model_that_is_not_there_is_told_with_those_that_are(folder: Path) -> None:
    for command in ("sample", "eval"):
        assert "no model in runs: train one with ninja train" in refuses(call(folder, command))
    succeeds(call(folder, *SMALL, "--steps", "5", "--model", "mlp", "--eager"))
    said = refuses(call(folder, "sample"))
    assert f"there is no {Path('runs/bn-mlp/model.safetensors')}; of these models there are: " in said
    assert str(Path("runs/mlp/model.safetensors")) in said


def test_a_model_is_evaluated_from_another_folder_too(trained: tuple[Path, str], tmp_path: Path) -> None:
    folder, output = trained
    file = folder / "runs/bn-mlp/model.safetensors"
    assert final_losses(succeeds(call(tmp_path, "eval", str(file)))) == final_losses(output)


@pytest.mark.slow
def test_a_training_goes_on_from_another_folder_too(folder: Path, tmp_path: Path) -> None:
    succeeds(call(folder, *SMALL, "--steps", "5", "--eager"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    resume = ("train", "--resume", "--out", str(folder / "runs/bn-mlp"), "--steps")
    succeeds(call(elsewhere, *resume, "6"))
    (folder / "names.txt").rename(elsewhere / "moved.txt")
    assert "where the words are elsewhere now, --data names the place" in refuses(call(folder, *resume, "7"))
    succeeds(call(elsewhere, *resume, "7", "--data", "moved.txt"))


@posix
@pytest.mark.slow
def test_a_training_whose_reader_goes_away_is_kept(folder: Path) -> None:
    command = shlex.join([sys.executable, "-m", "tinygrad_ninja", *SMALL, "--steps", "200000"])
    shell = ["bash", "-c", f"{command} | head -n 3; exit ${{PIPESTATUS[0]}}"]
    result = subprocess.run(shell, cwd=folder, capture_output=True, text=True, timeout=100)
    assert result.returncode == 128 + signal.SIGPIPE
    assert len(result.stdout.splitlines()) == 3
    assert re.fullmatch(
        r"stopped after [\d,]+ of 200,000 steps; go on with: ninja train --resume .*\n", result.stderr
    )
    assert succeeds(call(folder, "sample", "runs/bn-mlp/checkpoint.safetensors", "--count", "2"))


def test_the_help_has_no_cut_summaries_and_heads_over_the_sizes(folder: Path) -> None:
    for columns in ("100", "60"):
        with mock.patch.dict(os.environ, COLUMNS=columns):
            assert "..." not in succeeds(call(folder, "--help")).split("Commands:")[1]
    for command in ("train", "derive", "draw", "eval"):
        with mock.patch.dict(os.environ, COLUMNS="60"):
            options = succeeds(call(folder, command, "--help")).split("\n  The models")[0]
        assert 50 < max(map(len, options.splitlines())) <= 60
    shown = succeeds(call(folder, "train", "--help"))
    assert re.search(
        r"model +context +embedding +hidden +layers +heads +steps +batch +lr\n +bigram +1 ", shown
    )


@linux
def test_a_folder_without_permission_is_refused(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o555)
    result = run(folder, *SMALL, "--out", "locked", preexec=obey_permissions)
    assert refuses(result) == "error: cannot write to locked: Permission denied\n"


@posix
def test_a_full_disk_is_noticed_before_the_training(folder: Path) -> None:
    import resource

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    assert "cannot write to runs" in refuses(run(folder, *SMALL, preexec=little_room))


@pytest.mark.parametrize("command", ["sample", "eval"])
def test_bad_checkpoints_are_refused(trained: tuple[Path, str], folder: Path, command: str) -> None:
    content = (trained[0] / "runs/bn-mlp/model.safetensors").read_bytes()
    (folder / "truncated").write_bytes(content[:-10])
    (folder / "foreign").write_bytes(serialize({}))
    for name in ("absent", "names.txt", "truncated", "foreign", "."):
        assert name in refuses(call(folder, command, name))
    assert "model.safetensors" in refuses(call(folder, command))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("sample", "--count", "0"), "--count"),
        (("sample", "--seed", "x"), "--seed"),
        (("eval", "--steps", "3"), "--steps"),
        (("lr-find", "--model", "mlp", "--layers", "3"), "--layers"),
        (("lr-find", "--lowest", "1", "--highest", "0.5"), "--lowest"),
        (("lr-find", "--steps", "19"), "--steps"),
        (("check", "--dtype", "int64"), "--dtype"),
        (("tame",), "tame"),
    ],
)
def test_bad_arguments_of_the_other_commands(folder: Path, arguments: tuple[str, ...], named: str) -> None:
    assert named in refuses(call(folder, *arguments))


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float64"), ("torch", "float32")])
def test_check_prints_the_lectures_rows(folder: Path, device: str, dtype: str) -> None:
    output = succeeds(call(folder, "check", "--device", device, "--dtype", dtype))
    rows = re.findall(rf"^(\w+) +\(.*\) +{dtype} +(True|False)", output, re.MULTILINE)
    assert len(dict(rows)) == 26
    if device == "torch":
        assert "False" not in output


def test_check_exits_with_status_1_where_a_row_differs(folder: Path) -> None:
    with mock.patch(
        "tinygrad_ninja.makemore.lecture.complaints", return_value=["the gradient of W1 differs"]
    ):
        result = call(folder, "check")
    assert result.returncode == 1
    assert result.stdout.endswith("\nthe gradient of W1 differs\n")


@posix
@pytest.mark.slow
def test_a_terminal_shows_a_progress_bar(folder: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tinygrad_ninja", *SMALL, "--steps", "4000", "--eager"]
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "60"}, stdout=theirs
    ) as process:
        os.close(theirs)
        output = b""
        try:
            while chunk := os.read(ours, 65536):
                output += chunk
        except OSError:  # Linux's way to say that the other side is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode()).replace("\r", "\n")
    assert re.search(r"[\d,]+ of 4,000 .* loss \d\.\d{4}, [\d,]+/s, \d+:\d\d:\d\d left *\n", text)
    assert list(step_losses(text)) == list(range(0, 4000, 200))


def test_help_is_quick_and_names_every_command(folder: Path) -> None:
    help = succeeds(call(folder))
    assert help == succeeds(call(folder, "--help"))
    assert re.findall(r"^  ([a-z][a-z-]+) ", help, re.MULTILINE) == [
        "train",
        "sample",
        "eval",
        "lr-find",
        "check",
        "draw",
        "derive",
        "run",
    ]
    program = """if True:
        import sys
        from tinygrad_ninja.cli import main
        try:
            main()
        finally:
            print("loaded:", {"matplotlib", "rich", "pooch", "torch"} & set(sys.modules))
    """
    assert succeeds(run(folder, "--help", python=("-c", program))) == f"{help}loaded: set()\n"


def test_version(folder: Path) -> None:
    assert re.fullmatch(r"ninja \d+\.\d+\.\d+\n", succeeds(call(folder, "--version")))


@pytest.mark.slow
@needs_lecture_list
def test_the_lectures_training_ends_in_the_lectures_losses(folder: Path) -> None:
    arguments = ("train", "--data", str(LECTURE_LIST), "--seed", "2147483647")
    output = succeeds(run(folder, *arguments, python=WITHOUT_TORCH))
    losses = step_losses(output)
    assert list(losses) == list(range(0, 200_000, 10_000))
    assert list(losses.values()) == pytest.approx([float(loss) for loss in LECTURE_LOSSES.split()], abs=5e-4)
    final = final_losses(output)
    assert (final["train"], final["dev"]) == pytest.approx((2.0674, 2.1057), abs=5e-4)
