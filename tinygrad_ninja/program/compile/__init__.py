"""`compile(fn)`: a training step is recorded once, and then run as C, or on torch's tensors as torch code.

compiled   the function that is called; `compiled_module` for a model; `control` of all of them
recordings which recording holds for a call (`kept`), or a new one
first_call the call that is recorded: what it is given, what it returns (`results`)
guards     what a recording depends on beside its arguments, compared before every call
recording  what the function computes, draws and changes, as a program
lowering   that program in primitive operations
c          these as C; `straight` as NumPy, `emit_torch` as torch code
steps      which step, by the backend that can be had
step       the compiled step: `step_memory` for what it reads and writes, by the pointers of `memory`, and
           `caller` for the Python around every run, with `changes` for what is rare; `value_step` for
           Values; `history_step` for a later backward(), and `called_again` for what its compiled code does
           not give; `torch_step` and `torch_memory` for a device, where `replay` has torch's compiler and the
           CUDA graph
refusals   the sentences by which a step is refused
"""

from .compiled import Compiled, compile
from .refusals import CompileWarning, UnsupportedError

__all__ = ["CompileWarning", "Compiled", "UnsupportedError", "compile"]
