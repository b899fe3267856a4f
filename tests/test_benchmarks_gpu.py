"""The GPU benchmark, on the CPU: the script as a session with a GPU starts it, at small sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_it_runs_on_the_cpu_and_says_so() -> None:
    script = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--seconds", "0.05"]
    found = subprocess.run(
        [*script, "--only", "torch eager", "… not fused"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("CPU figures, which say nothing of a GPU")
    rows = [line.split() for line in found.stdout.splitlines() if "µs" in line]
    assert len(rows) == 4
    assert all(row[-1].endswith("%") for row in rows)
    assert "answers were equal" in found.stdout
