"""`compile(fn)`: a training step is recorded once, and then run as C, or on torch's tensors as torch code.

compiled   the function that is called: which recording holds, or a new one; `compiled_module` for a model
first_call the call that is recorded: what it is given, what it returns, and what later calls depend on
world      the objects that a function can reach, compared before every call: `trusted` for those that never
           change or can't be compared, `watched` for the comparison, `code_names` for what code names,
           `modes` for the engine's settings
capture    records what a function computes, draws and changes, while it does
tape       what is computed with recorded arrays (`recorded`), and the memory that changes; `outputs`
world      what else the function can reach, compared before every call: `walk` finds it, `watched` compares
signature  what a recording depends on in the arguments
symbols    numbers that are read anew at every call
values     the same for Values; `value_step` runs it, `emit_values` and `rolled` write it
checks     what is checked at every call, as the engine does
lower      the recording in primitive operations, without dead code and common subexpressions
identities simpler forms of instructions
plan       what is kept in memory, and what is computed where it is used
emit_c     groups of loops as C functions: `loops`, `body` for their inside, `scalars` for the operations,
           `products` for the matrix products, `blas` for the large ones, `prelude.h` for exp, log and tanh
build      the C compiler and its cache
step       the compiled step: `memory` for its pointers, `caller` for the Python around every run
shapes     torch's tensors recorded by their shapes alone
emit_torch the primitive operations as lines of torch code
torch_step the step that runs these lines: the device's part, and the host's
replay     torch's compiler, and the CUDA graph
"""

from .compiled import Compiled, compile
from .refusals import CompileWarning, UnsupportedError

__all__ = ["CompileWarning", "Compiled", "UnsupportedError", "compile"]
