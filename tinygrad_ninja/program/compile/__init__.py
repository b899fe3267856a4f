"""`compile(fn)`: a training step is recorded once, and then run as C, or on torch's tensors as torch code.

compiled   the function that records itself: arguments, guards, and what runs as eager code
guard      what a function reads beside its arguments
reachable  the objects that a function can reach beside its arguments
foreign    Python's and NumPy's own random numbers
tape       arrays that record what is computed, and memory that changes
capture    records what a function computes, draws and changes
collector  Python's garbage collector during a recording
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

from .compiled import Compiled, CompileWarning, compile
from .tape import UnsupportedError

__all__ = ["CompileWarning", "Compiled", "UnsupportedError", "compile"]
