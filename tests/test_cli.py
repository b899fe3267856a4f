"""The command line, run as a person runs it: in a process of its own, in a folder of its own."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import torch
from lecture_list import LECTURE_LIST, needs_lecture_list
from safetensors.numpy import save as serialize

from tinygrad_ninja import cli
from tinygrad_ninja.makemore.data import read_words

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
SMALL = ("train", "--data", "names.txt", "--hidden", "16", "--steps", "200")
WITHOUT_TORCH = ("-c", "import sys; sys.modules['torch'] = None; from tinygrad_ninja.cli import main; main()")
LECTURE_LOSSES = """
    3.3239 2.0322 2.5675 2.0125 2.2446 1.8897 2.0785 2.3681 2.2918 2.0238
    2.3673 2.3132 1.6414 1.9311 2.2231 2.0027 2.0997 2.4949 2.0199 2.1707
"""

posix = pytest.mark.skipif(os.name != "posix", reason="signals, limits and terminals as POSIX has them")

Result = subprocess.CompletedProcess[str]


def run(
    folder: Path,
    *arguments: str,
    python: tuple[str, ...] = ("-m", "tinygrad_ninja"),
    preexec: Callable[[], None] | None = None,
) -> Result:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, *python, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        preexec_fn=preexec,
    )


def call(folder: Path, *arguments: str) -> Result:
    """Run the command in this process, which spares the time that Python takes to start."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["ninja", *arguments]),
        pytest.raises(SystemExit) as exit,
    ):
        cli.main()
    status = exit.value.code or 0
    assert isinstance(status, int)
    return Result(arguments, status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def succeeds(result: Result) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def refuses(result: Result) -> str:
    """The one line that the command printed before it exited with status 2."""
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert re.fullmatch(r"error: .+\n", result.stderr), result.stderr
    return result.stderr


def step_losses(output: str) -> dict[int, float]:
    lines = re.findall(r"^ *(\d+)/ *\d+: (\S+)$", output, re.MULTILINE)
    return {int(step): float(loss) for step, loss in lines}


def final_losses(output: str) -> dict[str, float]:
    return {name: float(loss) for name, loss in re.findall(r"(train|dev|test)\W+(\d+\.\d{4})\b", output)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "names.txt").write_text("\n".join(read_words()[:1000]), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder where a training ended, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "names.txt").write_text("\n".join(read_words()[:1000]), encoding="utf-8")
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
    assert {path.name for path in (folder / picture).parent.iterdir()} == {checkpoint.name, picture.name}


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


@pytest.mark.parametrize("model", ["mlp", "bn-mlp"])
def test_torch_tensors_give_the_same_losses(folder: Path, model: str) -> None:
    on_numpy, on_torch = (
        succeeds(call(folder, *SMALL, "--model", model, "--device", device)) for device in ("cpu", "torch")
    )
    # One step of the last printed digit.
    assert step_losses(on_torch) == pytest.approx(step_losses(on_numpy), abs=1.01e-4)
    assert final_losses(on_torch) == pytest.approx(final_losses(on_numpy), abs=1.01e-4)


def test_training_needs_no_torch(trained: tuple[Path, str], folder: Path) -> None:
    assert step_losses(succeeds(run(folder, *SMALL, python=WITHOUT_TORCH))) == step_losses(trained[1])
    for device in ("torch", "cuda"):
        process = run(folder, *SMALL, "--device", device, python=WITHOUT_TORCH)
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
        (("--model", "rnn"), "--model"),
        (("--device", "tpu"), "--device"),
        (("--layers", "3"), "--layers"),
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
    assert step_losses(succeeds(call(folder, *SMALL, "--model", "mlp", "--batch", "1")))


def test_a_training_that_diverges_says_where_and_saves_nothing(folder: Path) -> None:
    process = call(folder, *SMALL, "--batch", "2", "--steps", "5000", "--quiet")
    assert process.returncode == 2
    assert re.fullmatch(r"error: the loss became nan at step \d+: try .+\n", process.stderr)
    assert not list((folder / "runs/bn-mlp").iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", "loss.png"])
def test_a_training_does_not_replace_what_is_not_its_own(folder: Path, name: str) -> None:
    file = folder / "out" / name
    file.parent.mkdir()
    for content in (b"", b"mine", serialize({}), b"\x89PNG\r\n\x1a\n"):
        file.write_bytes(content)
        assert str(Path("out", name)) in refuses(call(folder, *SMALL, "--out", "out"))
        assert file.read_bytes() == content
        assert list(file.parent.iterdir()) == [file]


def test_a_training_replaces_an_earlier_one(folder: Path) -> None:
    for steps in ("5", "6"):
        succeeds(call(folder, *SMALL, "--steps", steps))


@posix
def test_a_folder_without_permission_is_refused(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o555)
    if os.access(folder / "locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "cannot write to locked" in refuses(call(folder, *SMALL, "--out", "locked"))


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
    with mock.patch("tinygrad_ninja.check.lecture.complaints", return_value=["the gradient of W1 differs"]):
        result = call(folder, "check")
    assert result.returncode == 1
    assert result.stdout.endswith("\nthe gradient of W1 differs\n")


@posix
def test_ctrl_c_ends_with_status_130_and_saves_nothing(folder: Path) -> None:
    # Tests that run in the background of a shell ignore the signal, and so would the process they start.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "tinygrad_ninja", *SMALL, "--steps", "100000000"]
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        signal.signal(signal.SIGINT, handler)
        assert process.stdout is not None
        while not step_losses(process.stdout.readline()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert errors.strip() == "error: interrupted"
    assert not list((folder / "runs/bn-mlp").iterdir())


@posix
def test_a_terminal_shows_a_progress_bar(folder: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tinygrad_ninja", *SMALL, "--steps", "4000"]
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT | {"TERM": "xterm"}, stdout=theirs) as process:
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
    assert re.search(r"step [\d,]+ of 4,000 .* loss \d\.\d{4}, [\d,]+ steps/s, left: \d+:\d\d:\d\d", text)
    assert list(step_losses(text)) == list(range(0, 4000, 200))


def test_help_is_quick_and_names_every_command(folder: Path) -> None:
    help = succeeds(call(folder))
    assert help == succeeds(call(folder, "--help"))
    assert re.findall(r"^  ([a-z]+) ", help, re.MULTILINE) == ["train", "sample", "eval", "check"]
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
