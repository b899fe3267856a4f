"""The parts of a module: parameters, buffers and other modules, each by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..arrays.dispatch import namespace_of
from ..engine.tensor import Tensor, wrap

if TYPE_CHECKING:
    from .module import Module


class Parameter(Tensor):
    """A Tensor that a Module lists among its parameters; it requires a gradient unless requires_grad is
    false. TypeError for anything but a Tensor."""

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        data = Tensor() if data is None else data
        if not isinstance(data, Tensor):
            raise TypeError(f"a Parameter is made of a Tensor, not of a {type(data).__name__}")
        self.array = data.array
        self.edge = None
        self.requires_grad_(requires_grad)

    def __copy__(self) -> Parameter:
        return type(self)(self, self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """Return a Parameter with a copy of the numbers, and without the gradient."""
        copy = memo[id(self)] = type(self)(
            wrap(namespace_of(self.array).copy(self.array)), self.requires_grad
        )
        return copy

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


KINDS = ("_parameters", "_buffers", "_modules")


class Tree:
    """The part of Module that stores its parts: a Tensor, Parameter or Module set as an attribute is entered
    under its name."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]  # of Modules, and None where there is none
    _not_saved: set[str]  # the buffers that are not part of the state_dict
    # What few modules have, by name, and how it begins. It is made when it is first asked for, so that a
    # compiled step need not compare it before every call.
    _made_when_asked_for: ClassVar[dict[str, Callable[[], Any]]] = {"_not_saved": set}

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"cannot set {name!r} before Module.__init__() was called: call super().__init__()"
            )
        type_name = type(value).__name__
        if isinstance(value, Parameter):
            self._forget(name, but=self._parameters)
            self._parameters[name] = value
        elif name in self._parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign {type_name!r} as parameter {name!r} (nn.Parameter or None expected)"
                )
            self._parameters[name] = None
        elif isinstance(value, Tree):
            self._forget(name, but=self._modules)
            self._modules[name] = value
        elif name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign {type_name!r} as child module {name!r} (nn.Module or None expected)"
                )
            self._modules[name] = None
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign {type_name!r} as buffer {name!r} (Tensor or None expected)")
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for kind in KINDS:
            if name in self.__dict__.get(kind, ()):
                return self.__dict__[kind][name]
        if name in self._made_when_asked_for:
            object.__setattr__(self, name, self._made_when_asked_for[name]())
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def _forget(self, name: str, but: Any = None) -> bool:
        """Remove the part of that name, whatever it is, except from `but`; return whether there was one."""
        removed = False
        for parts in (self.__dict__, self._parameters, self._buffers, self._modules):
            if parts is not but and name in parts:
                del parts[name]
                self._save(name)
                removed = True
        return removed

    def _save(self, name: str) -> None:
        """Let a buffer of that name be part of the state_dict."""
        if "_not_saved" in self.__dict__:
            self._not_saved.discard(name)

    def _check_name(self, part: str, name: str, among: Mapping[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{part} name should be a string. Got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f'{part} name can\'t be empty or contain ".": {name!r}')
        if hasattr(self, name) and name not in among:
            raise KeyError(f"attribute {name!r} already exists")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make `tensor` a part of the state that is not trained, such as a running mean.

        It is part of the `state_dict` too if it is persistent. Raises KeyError where the name is taken or
        contains a dot, TypeError for anything but a Tensor or None; so do `register_parameter` and
        `add_module`.
        """
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign {type(tensor).__name__!r} object to buffer {name!r} (Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._save(name)
        else:
            self._not_saved.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make `param` (None: no parameter) the parameter of that name. TypeError for anything but a
        Parameter."""
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            type_name = type(param).__name__
            raise TypeError(
                f"cannot assign {type_name!r} object to parameter {name!r} (nn.Parameter or None required)"
            )
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        """Make `module` the child of that name."""
        self._check_module(module)
        self._check_name("module", name, self._modules)
        self._modules[name] = module

    register_module = add_module

    @staticmethod
    def _check_module(module: Any) -> None:
        if module is not None and not isinstance(module, Tree):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it, with their dotted paths.

        A module at several places comes at the first of them, or with remove_duplicate=False at each. memo:
        modules to leave out.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self  # type: ignore[misc]  # every Tree is a Module
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, path_of(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Return an iterator over this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly below this one, each once, by name."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Return an iterator over the modules directly below this one, each once."""
        return (child for _, child in self.named_children())

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path; AttributeError where there is none."""
        module = dict(self.named_modules(remove_duplicate=False)).get(target)
        if module is None:
            raise AttributeError(f"{type(self).__name__} has no module {target!r}")
        return module

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path; AttributeError where there is none."""
        return self._part("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path itself; AttributeError where there is none."""
        return self._part("_buffers", "buffer", target)

    def _part(self, kind: str, noun: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in getattr(module, kind):
            raise AttributeError(f"{type(module).__name__} has no {noun} {name!r}")
        return getattr(module, kind)[name]

    def _named(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[Any]:
        seen: set[int] = set()
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in getattr(module, kind).items():
                if value is not None and id(value) not in seen:
                    if remove_duplicate:
                        seen.add(id(value))
                    yield path_of(path, name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Return an iterator over every parameter, of this module alone or also of those below it, with its
        dotted path.

        A parameter at several places comes at the first of them, or with remove_duplicate=False at each.
        """
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Return an iterator over every parameter, each once."""
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Return an iterator over every buffer itself with its dotted path, as `named_parameters`."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Return an iterator over every buffer itself, each once."""
        return (value for _, value in self.named_buffers(recurse=recurse))


def path_of(prefix: str, name: str) -> str:
    """Return the dotted path of a part below `prefix`."""
    return f"{prefix}.{name}" if prefix else name
