"""Names of outside origin in generated text: that of a file, an operation or a value becomes no code in any
backend, script, drawing or page."""

import builtins
import io
import os
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slow_ones import slow_but

import tinygrad_ninja as torch
import viz
from tinygrad_ninja.engine.callers import place
from tinygrad_ninja.ops import operation
from tinygrad_ninja.program.comments import c_comment, python_comment
from tinygrad_ninja.program.compile import compile as compiled

EXECUTED = "executed"
"""A builtin's attribute that hostile code would set."""
CODE = f"__import__('builtins').{EXECUTED} = True"
HOSTILE = {
    "a line of its own": f"a\n{CODE}\n# .py",
    "a line of the function": f"a\n    {CODE} # .py",
    "the old Mac's line": f"a\r    {CODE} # .py",
    "after a comment of C": f"a*/ int x = ; {CODE} /*.py",
    "a comment of C that another opens": "a/**/.py",
    "a star at the end": "a*",
    "a backslash at the end": "a\\",
    "a backslash and a line": f"a\\\n    {CODE} # .py",
    "a question of three letters": "a??/\n.py",
    "a preprocessor's line": '\n#include "/etc/passwd"\n.py',
    "the ends of other lines": f"a\x0b{CODE}\x0c{CODE}\x85{CODE}\u2028{CODE}\u2029.py",
    "no text": os.fsdecode(b"a\xff\xfe.py") if os.name == "posix" else "a\udcff.py",
    "a null": f"a\0{CODE}.py",
    "a terminal's command": "a\x1b]0;title\x07\x9b2J.py",
    "the direction of writing": "a\u202e\u2066.py",
    "quotes": f'"\'\'\'"""); {CODE} #.py',
    "a template's fields": "{0}{x}%s%(x)s$x${x}.py",
    "a page's code": "<script>alert(1)</script><img src=x onerror=alert(2)>.py",
}
NAMES = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)

STEP = """
def step(x, w):
    hidden = (x * 2.5).tanh()
    chained = ((hidden @ w).exp() / (x.sum() + 4)).sum(0)
    return chained[index], chained * 3
"""
VALUES = """
def step(a):
    b = torch.Value(a) * 2
    for i in range(5):
        b = b * b.tanh() + i
    b.backward()
    return b.data
"""


@pytest.fixture(autouse=True)
def nothing_is_executed() -> Any:
    yield
    assert not vars(builtins).pop(EXECUTED, False)


def defined(text: str, name: str, **more: Any) -> Callable[..., Any]:
    """Return the function that is defined in a file of that name: code objects hold any name, also those that
    a file system refuses."""
    names: dict[str, Any] = {"torch": torch, **more}
    code = compile(text, "step.py", "exec")
    code = code.replace(
        co_consts=tuple(
            x.replace(co_filename=name) if hasattr(x, "co_filename") else x for x in code.co_consts
        )
    )
    exec(code, names)
    function: Callable[..., Any] = names["step"]
    assert function.__code__.co_filename == name
    return function


def is_a_line_of_text(text: str) -> bool:
    return text.isprintable() and bool(text.encode("utf-8"))


@NAMES
@pytest.mark.parametrize("backend", slow_but(["c", "numpy", "torch"], "c"))
def test_the_name_of_a_file_is_no_code_of_a_backend(backend: str, name: str) -> None:
    device = "torch" if backend == "torch" else "cpu"
    x, w = torch.ones(3, 4).to(device), torch.ones(4, 2).to(device)
    step = defined(STEP, name, index=torch.tensor([1, 0]).to(device))
    want = [tensor.tolist() for tensor in step(x, w)]
    fast = compiled(step, fullgraph=True, backend=backend)
    for _ in range(3):
        assert [tensor.tolist() for tensor in fast(x, w)] == [pytest.approx(numbers) for numbers in want]
    if backend == "numpy":
        return
    source, usual = fast.source(), "step.py"
    plain = compiled(defined(STEP, usual, index=torch.tensor([1, 0]).to(device)), backend=backend)
    plain(x, w)
    shown = place(name, 3).rpartition(":")[0]
    if backend == "c":
        shown = shown.replace("*/", "* /")
    assert shown in source
    assert source.replace(shown, usual) == plain.source()  # the same program, but for what the comments say
    if backend == "torch":
        code = [token for token in tokens(source) if token.type == tokenize.COMMENT]
        assert code
        assert all(is_a_line_of_text(token.string) for token in code)


def tokens(source: str) -> list[tokenize.TokenInfo]:
    return [*tokenize.generate_tokens(io.StringIO(source).readline)]


@NAMES
def test_the_name_of_a_file_is_no_code_of_values(name: str) -> None:
    step = defined(VALUES, name)
    fast = compiled(step, fullgraph=True)
    want = step(0.3)
    assert [fast(0.3) for _ in range(3)] == [pytest.approx(want)] * 3
    usual = compiled(defined(VALUES, "step.py"))
    usual(0.3)
    assert fast.source() == usual.source()


@NAMES
def test_the_name_of_a_file_is_one_line_in_a_refusal(name: str) -> None:
    step = defined("def step(x):\n    return x * x.sum().item()\n", name)
    with pytest.raises(RuntimeError) as refused:
        compiled(step, fullgraph=True)(torch.ones(2))
    assert is_a_line_of_text(str(refused.value))
    with pytest.raises(RuntimeError) as refused:
        torch.derive(step, torch.ones(2, requires_grad=True))
    assert is_a_line_of_text(str(refused.value))


@NAMES
@pytest.mark.parametrize("target", slow_but(["torch", "numpy"], "torch"))
def test_no_name_is_code_of_a_derivation(target: str, name: str) -> None:
    """The name of the file does not appear, that of a value is a name of Python's or refused, and one of a
    number is used where it is a name of Python's."""
    x = torch.ones(12, 4)
    w = torch.ones(4, 2, requires_grad=True)
    usual = {"x": x, "w": w}
    step = defined("def step(x, w):\n    return (x @ w).tanh().mean()\n", name)
    want = torch.derive(defined("def step(x, w):\n    return (x @ w).tanh().mean()\n", "a"), x, w).source(
        target
    )
    assert torch.derive(step, x, w).source(target) == want
    loss = (x @ w).tanh().mean()
    plain = torch.derive(loss, names=usual).source(target)
    assert torch.derive(loss, names={**usual, name: 12}).source(target) == plain
    with pytest.raises(ValueError, match="can't be the name of a variable"):
        torch.derive(loss, names={"x": x, name: w})


@NAMES
def test_no_name_is_that_of_an_operation(name: str) -> None:
    def forward(xp: Any, x: Any, /) -> Any:
        return x

    forward.__name__ = name
    with pytest.raises(ValueError, match="can't be the name of an operation"):
        operation(x=lambda dout: dout)(forward)


@NAMES
def test_no_name_ends_a_comment(name: str) -> None:
    code, comment = c_comment(name), python_comment(name)
    assert code.find("*/") == len(code) - 2
    assert is_a_line_of_text(code)
    assert is_a_line_of_text(comment)
    assert [token.string for token in tokens(f"x = 1\n{comment}\ny = 2\n") if token.string.strip()] == [
        "x", "=", "1", comment.rstrip(), "y", "=", "2",
    ]  # fmt: skip


@NAMES
def test_a_drawing_and_a_page_may_have_any_name(tmp_path: Path, name: str) -> None:
    if "\0" in name or "/" in name or os.name != "posix":
        name = "a\xa0" + name.replace("\0", "").replace("/", "")
    w = torch.ones(3, requires_grad=True)
    with torch.autograd.detect_anomaly(check_nan=False):  # which notes the lines
        loss = defined("def step(w):\n    return (w * 2).sum()\n", name)(w)
    files = [viz.save(loss, tmp_path / f"{name}{suffix}", names={name: w}) for suffix in (".svg", ".html")]
    files.append(viz.page(loss, {name: w}, path=tmp_path / f"{name} page.html"))
    for text in (file.read_text(encoding="utf-8") for file in files):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    assert viz.save(loss, tmp_path / f"{name}.dot", names={name: w}).read_text(encoding="utf-8")
