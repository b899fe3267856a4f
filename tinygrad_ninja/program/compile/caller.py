"""The Python code around every run of a compiled step, generated for that step.

A step of the lecture's model takes less time than a loop over its parameters and their checks would, so the
checks are unrolled, as dataclasses generate their methods: the generated text consists only of numbers and of
the lines here.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

from ...engine.inference import as_inference
from ...engine.node import Node
from ...engine.tensor import Tensor, wrap
from ...engine.versions import note_writes
from ...engine.view import note_assigned
from ...rng.generator import _TWISTER_SIZE
from .changes import GRADIENT, SHARED, Changes, is_plain, may_begin, require, root_of
from .recording.captured import ARENA
from .recording.checks import CheckError
from .recording.outputs import Returned
from .recording.shapes import is_torch, stand_in
from .results import held, is_container, leaves, with_parts

if TYPE_CHECKING:
    from .step import Step
    from .step_memory import StepMemory


def caller(step: Step) -> Any:
    """Return a function of the arguments that runs the step once. It raises ChangedError, before anything was
    drawn or written, where the recording does not hold any more."""
    code = _Code(step)
    code.check_gradients()
    code.check_memory()
    code.check_leaves()
    code.check_begun()
    code.read_numbers()
    code.place_arenas()
    code.draw_and_run()
    code.leave_begun()
    code.leave_gradients()
    code.leave_memory()
    code.leave_settings()
    return code.function(code.results())


class _Code:
    """The lines of the function, as they come to be.

    Each method adds those of one task. checks: the lines before anything is changed; before, run, after:
    those around the run. names: what the lines find under a name; state: the names whose values live from one
    call to the next.
    """

    def __init__(self, step: Step) -> None:
        self.step, self.memory = step, step.memory
        self.changes = Changes(self.memory)
        self.names: dict[str, Any] = {
            "changes": self.changes, "slots": self.memory.table.slots, "run": step.run, "require": require,
            "count": getrefcount, "new": object.__new__, "Tensor": Tensor,
        }  # fmt: skip
        self.checks: list[str] = []
        self.before: list[str] = []
        self.run: list[str] = []
        self.after: list[str] = []
        self.state: list[str] = []
        self.gradients = _replaceable(self.memory)
        # All that hold memory of the step, each with its position among the arguments.
        self.holders = [(owner, place) for owner, *_, place in self.memory.owners]
        self.holders += [shared[1:] for shared in self.memory.shared]

    def function(self, answer: str) -> Any:
        """Return the function. answer: the expression for its result."""
        body = [*self.checks, *self.before, *self.run, *self.after, f"return {answer}"]
        lines = ["def make():", *(f"    {name} = first_{name}" for name in self.state), "    def call(args):"]
        lines += [f"        nonlocal {', '.join(self.state)}"] if self.state else []
        lines += [f"        {line}" for line in body]
        exec("\n".join([*lines, "    return call"]), self.names)
        function = self.names["make"]()
        for name in self.state:
            del self.names[f"first_{name}"]
        return function

    # -- names -----------------------------------------------------------------------------------------------

    def bind(self, name: str, value: Any) -> str:
        """Return the name, under which the lines find the value."""
        self.names[name] = value
        return name

    def keep(self, name: str, value: Any) -> None:
        """Let a name have a value at the first call, and at later ones what it had at the end of the last."""
        self.state.append(name)
        self.names[f"first_{name}"] = value

    def named(self, owner: Tensor, place: int) -> str:
        """Return the text for a Tensor, or for the array that is given in its place."""
        if owner in self.gradients:
            return f"had{self.gradients[owner]}"
        return f"args[{place}]" if place >= 0 else self.bind(f"x{len(self.names)}", owner)

    def node(self, name: str, node: Node) -> str:
        """Return the text for a node, or for that of the argument that is given in its Tensor's place."""
        place = self.memory.places.get(node, -1)
        return f"args[{place}].edge" if place >= 0 else self.bind(name, node)

    def held(self, name: str, place: int) -> str:
        """Return the text for the array that it holds now."""
        return name if place in self.memory.bare else f"{name}._array"

    def copied(self, slot: int) -> str:
        """Return the text for a copy of what was computed, with the strides that eager code gives it."""
        array, layout = self.memory.table.arrays[slot], self.memory.layouts.get(slot)
        name = self.bind(f"out{slot}", array)
        text = f"{name}.{'clone' if is_torch(array) else 'copy'}()"
        if layout is not None:
            text = f"{self.bind('arranged', _arranged)}({name}, {layout})"
        return f"{self.bind('as_inference', as_inference)}({text})" if slot in self.memory.inference else text

    def taken(self, name: str, slot: int) -> list[str]:
        """Return the lines that make a Tensor of it."""
        return [f"{name} = new(Tensor)", f"{name}._array = {self.copied(slot)}", f"{name}.edge = None"]

    # -- what holds since the recording ----------------------------------------------------------------------

    def check_gradients(self) -> None:
        """Check that the gradients are there that were, or others in their place."""
        for i, (node, grad) in enumerate(self.step.captured.needs):
            held = f"{self.node(f'needs{i}', node)}._grad"
            check = f"if {held} is not had{i}: "
            if grad in self.gradients:
                self.keep(f"had{i}", grad)
                self.checks.append(f"{check}had{i} = changes.gradient({held}, args)")
            else:
                self.bind(f"had{i}", grad)
                self.checks.append(f"{check}require(False, {GRADIENT!r})")

    def check_memory(self) -> None:
        """Take the memory that the Tensors hold now, and check that those share one that did, and only
        those."""
        memory, shares = self.memory, f"require(False, {SHARED!r})"
        for i, (owner, array, slot, place) in enumerate(memory.owners):
            source = self.held(self.named(owner, place), place)
            self.keep(f"a{i}", array)
            self.checks.append(f"if {source} is not a{i}: a{i} = changes.moved({slot}, {source})")
        for i, owner, place in memory.shared:
            self.checks.append(f"if {self.held(self.named(owner, place), place)} is not a{i}: {shares}")
        if self.changes.changed:
            self.bind("moves", self.changes.moves)
            self.checks.append("if moves: changes.apart()")
        # A Tensor that gets other memory leaves those behind that shared the old one, but not itself.
        for tensor, _ in memory.rebound_slots:
            mine = self.named(tensor, memory.given.get(tensor, -1))
            for other, place in self.holders:
                if place >= 0 or tensor in memory.given:
                    is_ = "is not" if other is tensor else "is"
                    self.checks.append(f"if {mine} {is_} {self.named(other, place)}: {shares}")

    def check_leaves(self) -> None:
        """Check that each argument that gets a gradient is given once and not found elsewhere too: what flows
        to one that is would be the sum of two gradients. Then what the step itself checks."""
        known = self.names["known"] = {holder.edge for holder, place in self.holders if place < 0}
        leaves = self.step.captured.leaves
        for i, leaf in leaves.items():
            others = [f"is args[{j}].edge" for j, other in leaves.items() if j < i and other is not leaf]
            others += ["in known"] if leaf not in known else []
            for other in others:
                self.checks.append(f"if args[{i}].edge {other}: require(False, {SHARED!r})")
        self.checks += [f"{self.bind(f'guard{i}', guard)}()" for i, guard in enumerate(self.step.guards)]

    def check_begun(self) -> None:
        """Check that each argument that becomes a leaf has no gradient yet, and that of what else the step
        reads only that is a view of it which was one, since views get its history too."""
        for tensor in self.step.captured.begun:
            place = self.memory.given[tensor]
            others = [(self.named(x, at), root_of(x) is tensor) for x, at in self.holders if at != place]
            given = "".join(f"({x}, {is_view}), " for x, is_view in dict.fromkeys(others))
            self.checks.append(f"{self.bind('may_begin', may_begin)}(args[{place}], ({given}))")

    # -- the run ---------------------------------------------------------------------------------------------

    def read_numbers(self) -> None:
        """Read the numbers that may be others at each call."""
        for i, (number, read) in enumerate(self.memory.numbers):
            target = self.bind(f"number{i}", number)
            self.before.append(f"{target}[()] = {self.bind(f'read{i}', read)}(args)")

    def place_arenas(self) -> None:
        """Take the memory in which an earlier step has left variables, and that to leave some in."""
        arena, placing, in_c = self.step.arena, self.memory.table.placing, bool(self.step.source)
        if self.memory.found:
            place = self.bind("place_found", placing(self.memory.found, arena, in_c))
            self.before.append(f"{place}(args[0])")
        if self.memory.kept:
            place = self.bind("place_kept", placing(self.memory.kept, arena, in_c))
            self.before += [f"arena = {self.bind('new_memory', arena.memory)}()", f"{place}(arena)"]

    def draw_and_run(self) -> None:
        """Draw the random numbers, and run the step."""
        draws, run = self._draws(), ["run()"]
        generators = self.changes.generators
        locked = self.memory.draws_on_device  # whether the generators are while it runs
        if self.step.complains and generators:  # it draws before it finds an error, and eager code draws anew
            locked = True
            marks = [f"was{i}" for i in range(len(generators))]
            noted = [f"{mark} = from{i}.mark()" for i, mark in enumerate(marks)]
            draws = [*noted, *draws]
            run = [
                "try: run()",
                "except CheckError:",
                f"    changes.give_back({', '.join(marks)})",
                "    raise",
            ]
            self.bind("CheckError", CheckError)
        if generators:
            locks = []
            for i, generator in enumerate(generators):
                self.bind(f"from{i}", generator)
                locks.append(self.bind(f"lock{i}", generator.lock))
            inside, behind = ([*draws, *run], []) if locked else (draws, run)
            run = [f"with {', '.join(locks)}:", *(f"    {line}" for line in inside), *behind]
        self.run += run

    def _draws(self) -> list[str]:
        """Return the lines that draw: random words from the memory of the generator, while that has enough,
        or as the generator does."""
        memory, lines = self.memory, []
        for i, (generator, n, slot) in enumerate(memory.words):
            g = self.bind(f"g{i}", generator)
            self.keep(f"block{i}", None)
            self.keep(f"address{i}", 0)
            slow = f"block{i}, address{i} = changes.words({i})"
            fast = [
                f"start = {g}._position",
                f"if start <= {_TWISTER_SIZE - n} and {g}._block is block{i}:",
                f"    {g}._position = start + {n}",
                f"    slots[{slot}] = address{i} + 8 * start",
                f"else: {slow}",
            ]
            lines += fast if self.step.source else [slow]
        for i, (draw, drawn) in enumerate(memory.draws):
            method = self.bind(f"draw{i}", getattr(draw.generator, draw.method))
            given = f"*{self.bind(f'with{i}', draw.arguments)}, **{self.bind(f'options{i}', draw.options)}"
            lines.append(f"{self.bind(f'holder{i}', drawn)}[...] = {method}({given})")
        return lines

    # -- what is left behind ---------------------------------------------------------------------------------

    def leave_begun(self) -> None:
        """Let arguments become leaves."""
        leaf = f"{self.bind('Node', Node)}(None, (), None)"
        places = [self.memory.given[tensor] for tensor in self.step.captured.begun]
        self.after += [f"args[{place}].edge = {leaf}" for place in places]

    def leave_gradients(self) -> None:
        """Leave the gradients, each in memory that nobody else holds."""
        begun = {*self.step.captured.begun.values()}
        for i, (node, slot) in enumerate(self.memory.gradient_slots):
            target, tensor = self.node(f"node{i}", node), f"t{i}"
            if slot is None:
                self.after.append(f"{target}._grad = None")
                continue
            if slot in self.memory.layouts:
                self.after += self.taken(tensor, slot)
            else:
                self.keep(tensor, wrap(self.memory.table.arrays[slot]))
                # Held by the node, by t, and by the call of count; its array by the table and by the Tensor.
                most = "2" if node in begun else f"(3 if {target}._grad is {tensor} else 2)"
                self.before.append(
                    f"if count({tensor}) > {most} or count({tensor}._array) > 3: "
                    f"{tensor} = changes.fresh({slot})"
                )
            self.after.append(f"{target}._grad = {tensor}")

    def leave_memory(self) -> None:
        """Give Tensors the other memory that they hold afterwards, and count the changes in place."""
        for owner, slot in self.memory.rebound_slots:
            place = self.memory.given.get(owner, -1)
            if place not in self.memory.bare:  # the Tensor that an array is given in is the function's own
                target = self.named(owner, place)
                note = self.bind("note_assigned", note_assigned)
                self.after += [f"{target}._array = {self.copied(slot)}", f"{note}({target})"]
        if self.changes.versions:
            versions = self.bind("versions", self.changes.versions)
            self.after.append(f"{self.bind('note_writes', note_writes)}({versions})")

    def leave_settings(self) -> None:
        """Set the numbers that the step sets in Python's objects, computed before any of them is set, and let
        schedulers follow, which may raise after all else."""
        for i, setting in enumerate(self.step.captured.settings):
            owner, key = self.bind(f"owner{i}", setting.entry.holder), self.bind(f"key{i}", setting.entry.key)
            target = f"{owner}.cell_contents" if setting.entry.is_cell else f"{owner}[{key}]"
            self.before.append(f"set{i} = {self.bind(f'setting{i}', setting.read)}(args)")
            self.after.append(f"{target} = set{i}")
        self.after += [f"{self.bind(f'repeat{i}', x)}()" for i, x in enumerate(self.step.captured.repeats)]

    def results(self) -> str:
        """Make Tensors of the results, and return the expression for what the function returns."""
        names = {returned: f"r{i}" for i, returned in enumerate(self.memory.returned)}
        for name, slot in zip(names.values(), self.memory.result_slots, strict=True):
            self.after += self.taken(name, slot)
        return self._result(self.memory.captured.result, names)

    def _result(self, result: Any, names: dict[Returned, str]) -> str:
        """Return the expression for a part of the result. names: those of the Tensors that were computed."""
        if isinstance(result, Returned):
            if result.node is not None:
                return f"{self.node(f'node{len(self.names)}_', result.node)}._grad"
            if result in names:
                return names[result]
            place = self.memory.given.get(result.tensor, -1)
            text = self.named(result.tensor, place)
            return f"{self.bind('wrap', wrap)}({text})" if place in self.memory.bare else text
        if result is ARENA:
            return "arena" if self.memory.kept else "None"
        if not is_container(result):
            return self.bind(f"fixed{len(self.names)}", result)
        parts = "".join([f"{self._result(part, names)}, " for part in held(result)])
        if type(result) is tuple:
            return f"({parts})"
        if type(result) is list:
            return f"[{parts}]"
        keys = self.bind(f"keys{len(self.names)}", [*result] if isinstance(result, dict) else [])
        kind = self.bind(f"kind{len(self.names)}", result)
        return f"{self.bind('with_parts', with_parts)}({kind}, {keys}, [{parts}])"


def _replaceable(memory: StepMemory) -> dict[Tensor, int]:
    """Return the gradients in whose place the step takes others, with their numbers: Tensors that it reaches
    as a gradient alone, and neither returns nor gives other memory."""
    captured = memory.captured
    gradients = {grad: i for i, (_, grad) in enumerate(captured.needs) if grad is not None}
    kept = {*captured.reached, *memory.given, *(tensor for tensor, _ in captured.rebound)}
    kept.update(x.tensor for x in leaves(captured.result) if isinstance(x, Returned))
    several = len(gradients) < sum(grad is not None for _, grad in captured.needs)
    if several or not all(map(is_plain, gradients)):
        return {}
    return {grad: i for grad, i in gradients.items() if grad not in kept}


def _arranged(array: Any, strides: tuple[int, ...]) -> Any:
    """Return a copy of an array with these strides, counted in elements."""
    if is_torch(array):
        return array.new_empty_strided(array.shape, strides).copy_(array)
    copied = stand_in(array.shape, array.dtype, strides)
    copied[...] = array
    return copied
