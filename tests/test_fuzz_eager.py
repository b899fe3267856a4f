"""Random eager programs beside PyTorch; `python -m tests.fuzz eager` runs more of them."""

import pytest
from fuzz import eager

BLOCK = 50


def findings(first: int) -> str:
    """What PyTorch and the engine disagree about in a block of seeds."""
    texts = {seed: eager.try_seed(seed) for seed in range(first, first + BLOCK)}
    return "\n\n".join(f"seed {seed}:\n{text}" for seed, text in texts.items() if text)


@pytest.mark.parametrize("first", range(0, 400, BLOCK))
def test_programs(first: int) -> None:
    assert not (text := findings(first)), text


@pytest.mark.slow
@pytest.mark.parametrize("first", range(400, 6000, BLOCK))
def test_more_programs(first: int) -> None:
    assert not (text := findings(first)), text


ENGINE = "'ninja' in torch.__name__"


@pytest.mark.parametrize(
    ("line", "aspect"),
    [
        (f"v1.mul_(2.0 + 1e-5 * ({ENGINE}))", "value of v1"),
        (f"v3 = v1 * (-0.0 if {ENGINE} else 0.0)", "value of v3"),
        (f"v3 = v1.double() if {ENGINE} else v1.float()", "dtype of v3"),
        (f"v3 = v1[None] if {ENGINE} else v1", "shape of v3"),
        (f"v3 = torch.ones(2, 3).T.contiguous() if {ENGINE} else torch.ones(2, 3).T", "is_contiguous of v3"),
        (f"v3 = v2.detach() if {ENGINE} else v2", "requires_grad of v3"),
        (f"v3 = v2 * 1 if {ENGINE} else v2", "is_leaf of v3"),
        (f"v3 = v1.tolist() if {ENGINE} else tuple(v1.tolist())[:1]", "length of v3"),
        (f"v3 = 1 if {ENGINE} else 1.0", "type of v3"),
        (f"v3 = 0 if {ENGINE} else [][1]", "raised"),
        (f"(v2 * (2 + ({ENGINE}))).sum().backward()", "gradient of v2"),
        (f"v2.sum().backward() if {ENGINE} else None", "whether v2 has a gradient"),
        (f"seen.append(1) if {ENGINE} else None", "length of seen"),
    ],
)
def test_a_difference_is_seen_and_printed_in_short(line: str, aspect: str) -> None:
    lines = [
        "v1 = torch.ones(2)",
        "v2 = torch.ones(2, requires_grad=True)",
        "v9 = v1.no_such_method",
        "v8 = v1 + 1",
        line,
    ]
    pair, difference = eager.replay(lines)
    assert difference is not None
    assert difference.aspect == aspect
    short = eager.written(*eager.shortened(pair.lines, difference))
    assert line in short
    assert f"# {aspect}" in short
    assert "no_such_method" not in short
    assert "v8" not in short
    compile(short, "short", "exec")


def test_a_seed_names_one_program() -> None:
    def lines(seed: int) -> list[str]:
        pair = eager.Pair()
        for line in eager.Lines(eager.random.Random(seed), pair.theirs.variables):
            pair.run(line)
        return pair.lines

    assert lines(7) == lines(7)
    assert lines(7) != lines(8)
