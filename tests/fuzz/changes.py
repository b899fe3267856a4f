"""Random training steps with random changes between their calls, run eagerly, as C and as NumPy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from . import steps
from .changing import CALLS, Change, ChangingProgram, outcome
from .compiled import disagreement, kind
from .numbers import FLOATS, Draw
from .program import Line
from .runner import environment
from .writer import Writer

# -- lines that the other fuzzer does not draw ---------------------------------------------------------------

STATES = {
    "number": ("0.5", "{}"),
    "integer": ("2", "{}"),
    "object": ("types.SimpleNamespace(k=0.5, n=0, h=torch.zeros(()))", "{}.k"),
    "dict": ('{"k": 0.5}', '{}["k"]'),
    "list": ("[0.5, 2.0]", "{}[0]"),
    "nested": ('{"inner": [types.SimpleNamespace(k=1.5)]}', '{}["inner"][0].k'),
    "function": ("lambda v: v * 0.5", "{}"),
    "Tensor in a dict": ('{"k": torch.ones(())}', '{}["k"]'),
}
"""Python's state: how it is made, and how it is read."""


def python_state(w: Writer) -> None:
    """Add a value computed with Python's state: a closure's number, an attribute, an item, a helper."""
    x, kind = w.float(), w.draw.choice(list(STATES))
    made, read = STATES[kind]
    name = w.other("s", made)
    text = read.format(name)
    if kind == "function":
        w.say(f"{name}({x})")
    elif kind == "number" and w.draw.chance(0.4):  # in a helper's closure
        helper = w.other("s", f"lambda v: v + {name}")
        w.say(f"{helper}({x})")
    else:
        forms = [f"{x} * {text}", f"{x} + {text}", f"{x} - {text}", f"({x} if {text} > 0.7 else -{x}) * 1.0"]
        w.say(w.draw.choice(forms[: 3 if "Tensor" in kind else 4]))


def changed_state(w: Writer) -> None:
    """Add a line that changes Python's state itself, or keeps what it computed."""
    x = w.pick(lambda v: v.is_floating_point())
    if x is None:
        return
    name = w.other("s", "types.SimpleNamespace(n=0, h=torch.zeros(()), several=[])")
    forms = [f"{name}.n += 1", f"{name}.h = ({name}.h + {x}.detach().sum()).tanh()"]
    w.do(w.draw.choice([*forms, f"{name}.several.append({x}.detach())"]))


def random_draw(w: Writer) -> None:
    x = w.float()
    shape = tuple(w.value(x).shape)
    forms = [f"{x} + torch.rand_like({x})", f"{x} * torch.randn_like({x})", f"F.dropout({x}, 0.5)"]
    forms += [f"torch.rand({shape})", f"torch.randint(-3, 4, {shape})", f"torch.normal(1.0, 0.5, {shape})"]
    forms += [f"{x} * torch.bernoulli(torch.full({shape}, 0.5))", f"torch.empty({shape}).uniform_(-1.0, 1.0)"]
    forms += [f"nn.init.normal_(torch.empty({shape}))", f"torch.randint_like({x}, 5)"]
    if w.draw.chance(0.3):
        generator = w.other("g", f"torch.Generator().manual_seed({w.draw.seed()})")
        forms = [
            f"torch.rand({shape}, generator={generator})",
            f"torch.randn({shape}, generator={generator})",
        ]
        forms += [f"torch.randint(0, 9, {shape}, generator={generator})"]
    w.say(w.draw.choice(forms))


def module(w: Writer) -> None:
    x = w.float(2)
    n, double = tuple(w.value(x).shape)[-1], w.value(x).array.dtype.name == "float64"
    forms = [f"nn.Linear({n}, {w.draw.short() or 1})", "nn.Dropout(0.5)", "nn.Tanh()", f"nn.LayerNorm({n})"]
    forms += [f"nn.Sequential(nn.Linear({n}, 3), nn.Tanh(), nn.Dropout(0.25))"]
    if w.value(x).ndim == 2:
        forms += [f"nn.BatchNorm1d({n})"] * 2 + [f"nn.Sequential(nn.Linear({n}, 4), nn.BatchNorm1d(4))"]
    if not n:
        forms = ["nn.Dropout(0.5)", "nn.Tanh()"]
    w.say(f"{w.other('m', w.draw.choice(forms) + ('.double()' if double else ''))}({x})")


def part_in_place(w: Writer) -> None:
    """Add a change of a part, or through a view."""
    x = w.pick(
        lambda v: (
            v.is_floating_point() and v.ndim and 0 not in v.shape and not (v.requires_grad and v.is_leaf)
        )
    )
    if x is None or x[0] in "xn":
        return
    shape, dtype = tuple(w.value(x).shape), w.value(x).array.dtype.name
    row = w.leaf(shape[1:], dtype, "plain", "b")
    forms = [
        f"{x}[0] = 1.0",
        f"{x}[0] = {row}",
        f"{x}[-1].mul_(0.5)",
        f"{x}[:1].add_(1.0)",
        f"{x}[..., 0].neg_()",
    ]
    forms += [f"{x}[::2].add_({row})", f"{x}[[0, 0]] = {row}", f"{x}.masked_fill_({x} > 0.5, 0.5)"]
    forms += [f"{x}.transpose(0, -1)[0].mul_(2.0)", f"{x}.unbind()[0].tanh_()", f"{x}.clamp_(-1, 1)"]
    if w.value(x).is_contiguous():
        forms += [f"{x}.view(-1)[::2].add_(0.5)"]
    w.do(w.draw.choice(forms))
    w.values = [name for name in w.values if readable(w.value(name))]


def readable(value: Any) -> bool:
    """Return whether the Tensor may be used: one of several views may not, once what it shows was changed."""
    try:
        return value.requires_grad in (True, False)
    except RuntimeError:
        return False


OWN = [(python_state, 60), (changed_state, 1), (random_draw, 40), (module, 40), (part_in_place, 20)]
KINDS: list[Callable[[Writer], object]] = [
    *steps.KINDS,
    *(line for line, weight in OWN for _ in range(weight)),
]


def setting(w: Writer, optimizer: str) -> str:
    """Return a line that sets a number of an optimizer's groups."""
    group, number = f"{optimizer}.param_groups[0]", w.number()
    forms = [f'{group}["lr"] = 0.1 * {number}', f'{group}["lr"] *= {number}']
    forms += [
        f'{group}["lr"] = 0.1 if {number} * 2 > 3 else 0.02',
        f'{group}["lr"] = min({group}["lr"], 0.05)',
    ]
    forms += [f'{group}["weight_decay"] = {group}["lr"] * 0.5']
    forms += [f'for group in {optimizer}.param_groups: group.update(lr=group["lr"] - 0.01 * {number})']
    return w.draw.choice(forms)


def train(w: Writer, made: list[str]) -> list[str]:
    """Add a loss, its backward pass, and an update by hand or by an optimizer, with gradients that add up,
    are clipped or set to zero, with rates that the step sets, and with a schedule."""
    draw, total = w.draw, steps.loss(w, made)
    if total is None:
        return []
    parameters = sorted({name for name in w.values if name[0] == "p"})
    optimizer = steps.new_optimizer(w, parameters) if parameters and draw.chance(0.6) else ""
    clear = draw.choice(
        ["for p in [{}]: p.grad = None"] * 2 + ["for p in [{}]: p.grad is None or p.grad.zero_()", ""]
    )
    if optimizer:
        clear = draw.choice(
            [f"{optimizer}.zero_grad()"] * 3 + [f"{optimizer}.zero_grad(set_to_none=False)", ""]
        )
    if clear and parameters:
        w.do(clear, parameters if "{}" in clear else ())
    w.do(f"{total}.backward()")
    if w.over or not parameters:
        return [total]
    used = [name for name in parameters if w.value(name).grad is not None]
    if used and draw.chance(0.25):
        w.do(f"nn.utils.clip_grad_norm_([{{}}], {draw.choice(['0.5', '0.01', '10.0'])})", used)
    if optimizer:
        if draw.chance(0.3):
            w.do(setting(w, optimizer))
        w.do(f"{optimizer}.step()")
        if draw.chance(0.3):
            schedule = draw.choice(["ExponentialLR({}, 0.5)", "StepLR({}, 2)", "LinearLR({}, total_iters=3)"])
            w.do(f"{w.other('h', 'torch.optim.lr_scheduler.' + schedule.format(optimizer))}.step()")
    elif used:
        update = ["for p in [{}]: p.data += -0.1 * (0 if p.grad is None else p.grad)"]
        update += ["with torch.no_grad():\n            for p in [{}]: p.grad is None or p.sub_(0.1 * p.grad)"]
        w.do(draw.choice(update), used)
    return [total]


# -- changes between calls -----------------------------------------------------------------------------------


def changes_of_tensor(w: Writer, name: str, others: list[str]) -> list[str]:
    """Return changes of a Tensor that the step finds. others: names of all that it finds."""
    value = w.value(name)
    if not value.is_floating_point():
        return [
            f"{name}.data = {name}.data.clone()",
            f"{name} = {name}.clone()",
            f"{name}.data = {name}.data.flip(())",
        ]
    some = [
        f"{name}.data = {name}.data * 0.5",
        f"{name}.data = {name}.data.clone()",
        f"{name}.data.mul_(0.5)",
    ]
    some += [f"{name} = {name}.detach().clone().requires_grad_({value.requires_grad})"]
    some += [f"{name}.requires_grad_({flag})" for flag in ("True", "False", f"not {name}.requires_grad")]
    if value.ndim and value.shape[0]:
        some += [f"{name}.data[0] = 1.5", f"held.append({name}.data[0])"]
    if value.ndim == 2:
        some += [f"{name}.data = {name}.data.T.contiguous().T"]
    if name[0] == "p":
        some += [
            f"{name}.grad = None",
            f"{name}.grad = torch.ones_like({name}.data)",
            f"held.append({name}.grad)",
        ]
        some += [f"{name}.register_hook(lambda grad: grad * 2)"]
    for other in others:
        if other != name and other[0] in "pb" and w.value(other).array.shape == value.array.shape:
            some += [f"{name}.data = {other}.data"] if w.value(other).dtype == value.dtype else []
    return some


def changes_of_argument(w: Writer, name: str, others: list[str]) -> list[str]:
    """Return other things that are given in the place of an argument. others: names of all that is found."""
    if name[0] == "k":
        return [
            f'override["{name}"] = {number}' for number in ("2", "-0.5", "True", 'float("nan")', "0.0", "3")
        ]
    value, some = w.value(name), ["override.clear()"]
    shape, dtype = tuple(value.shape), value.array.dtype.name
    kind = "" if dtype in FLOATS else ', "range"'
    some += [f'override["{name}"] = torch.from_numpy(numbers({shape}, "{dtype}", {w.draw.seed()}{kind}))']
    if shape:
        fewer = (shape[0] // 2, *shape[1:])
        some += [f'override["{name}"] = torch.from_numpy(numbers({fewer}, "{dtype}", {w.draw.seed()}{kind}))']
    if len(shape) == 2 and not kind:
        turned = f'numbers({shape[::-1]}, "{dtype}", {w.draw.seed()})'
        some += [f'override["{name}"] = torch.from_numpy({turned}).T']
    for other in others:
        if other != name and other[0] in "pbxn" and tuple(w.value(other).shape) == shape:
            if w.value(other).array.dtype.name != dtype:
                continue
            if other[0] in "pb":  # it shares memory with what the step finds
                some += [f'override["{name}"] = {other}.detach()'] * 3
                some += [f'override["{name}"] = {other}'] if other[0] == "b" else []
            else:  # one Tensor for two arguments
                both = f'override["{name}"] = override["{other}"]'
                some += [f'{both} = torch.from_numpy(numbers({shape}, "{dtype}", {w.draw.seed()}{kind}))'] * 3
    return some


MODULES = ["eval()", "train()", "requires_grad_(False)", "requires_grad_(True)", "zero_grad()"]
MODULES += ["register_forward_hook(lambda layer, args, out: out * 2)"]
PARTS = ["p = 0.75", "eps = 0.5", "momentum = 0.9", "momentum = None", "training = False"]


def changes_of_object(name: str, made: str) -> list[str]:
    """Return changes of what is no Tensor: an optimizer, a module, a generator, Python's state, a schedule.
    made: how it was made."""
    if name[0] == "o":
        group = f"{name}.param_groups[0]"
        some = [f'{group}["lr"] *= 0.5', f'{group}["weight_decay"] = 0.1', f"{name}.state.clear()"]
        some += [f'{group}["momentum"] = 0.5'] if "SGD" in made else [f'{group}["betas"] = (0.5, 0.9)']
        some += [f"{name}.load_state_dict(copy.deepcopy({name}.state_dict()))", f"{name}.zero_grad()"]
        some += [f"held.append(copy.deepcopy({name}.state_dict()))"]
        return [*some, f'{name}.add_param_group({{"params": [torch.ones(2, requires_grad=True)]}})']
    if name[0] == "m":
        some = [f"{name}.{each}" for each in MODULES] + [f"{name}.train(not {name}.training)"] * 2
        part = f"{name}[-1]" if "Sequential" in made else name
        some += [f"{part}.{each}" for each in PARTS if each.partition(" ")[0] != "p" or "Dropout" in made]
        some += [f"{name}.load_state_dict({{key: x * 2 for key, x in {name}.state_dict().items()}})"]
        linear = f"{name}[0]" if "Sequential" in made else name
        if "Linear" in made:
            some += [f"{linear}.weight.data.mul_(0.5)", f"{linear}.bias = None"]
            some += [f"{linear}.weight = nn.Parameter({linear}.weight.detach() * 2)"]
        return [*some, f"{name}[1] = nn.ReLU()"] if "Sequential" in made else some
    if name[0] == "g":
        return [f"{name}.manual_seed(5)", f"{name} = torch.Generator().manual_seed(5)"]
    if name[0] == "h":
        return [f"{name}.step()"]
    if "lambda" in made:
        return [f"{name} = lambda v: v * {number}" for number in ("2.0", "-1", "v")]
    for start, read in STATES.values():
        if made == f"{name} = {start}":
            place = read.format(name)
            some = [f"{place} = {number}" for number in ("1.5", "0.5", "-2", "0.0", "torch.ones(())")]
            return [*some, f'{name}["more"] = 1'] if "{" in start else some
    return [f"{name}.n = 10", f"{name}.h = torch.ones(())", f"{name}.several.clear()"]


MODES = ["mode = torch.no_grad()", "torch.manual_seed(3)", "torch.set_default_dtype(torch.float64)"]
MODES += ["torch.set_default_dtype(torch.float32)", "torch.rand(1)"]


def drawn(seed: int) -> ChangingProgram:
    """Return the step of a seed, with its changes."""
    w = Writer(Draw(seed))
    results: list[str] = []
    for _ in range(w.draw.integer(1, 2)):
        if not w.over:
            results += steps.part(w, KINDS, train)
    program = ChangingProgram(tuple(w.leaves), tuple(w.body), tuple(results)).without()
    changes = []
    names = [line.name for line in program.leaves]
    for call in range(1, CALLS):
        for _ in range(w.draw.choice([0, 1, 1, 2, 3])):
            if not names or w.draw.chance(0.1):
                some = MODES
            else:
                objects = [line for line in program.leaves if line.name[0] not in "pbxnk"]
                line = w.draw.choice(objects if objects and w.draw.chance(0.5) else program.leaves)
                if line.name[0] in "pb":
                    some = changes_of_tensor(w, line.name, names)
                elif line.name[0] in "xnk":
                    some = changes_of_argument(w, line.name, names)
                else:
                    some = changes_of_object(line.name, line.text)
            changes.append(Change(call, Line(w.draw.choice(some))))
    return ChangingProgram(program.leaves, program.body, program.results, tuple(changes)).without()


# -- what is found -------------------------------------------------------------------------------------------


def differs(program: ChangingProgram) -> str:
    """Return what a backend does otherwise than eager code; nothing where all agree. A function may say that
    it runs as eager code."""
    return disagreement(program, outcome, lambda sentence: True)


def dies(program: ChangingProgram) -> bool:
    """Return whether the program ends its process."""
    command = [sys.executable, "-c", program.pasteable()]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    return ended.returncode < 0


def program_text(seed: int) -> str:
    """Return the step of a seed, which ends its process, as a script."""
    program = drawn(seed)
    return (program.smaller(dies, 60) if dies(program) else program).pasteable()


def place(found: str) -> str:
    """Return what is the same in two differences of one cause, as far as one sees."""
    return re.sub(r", call:? *| held until the end", " ", kind(found))


def try_seed(seed: int) -> str | None:
    """Return None where eager code, C and NumPy agree on the step of a seed; else the step, made small, and
    what differs."""
    program = drawn(seed)
    found = differs(program)
    if not found:
        return None
    wanted = place(found)
    small = program.smaller(lambda each: place(differs(each)) == wanted)
    return f"{small.pasteable()}# {differs(small)}\n"
