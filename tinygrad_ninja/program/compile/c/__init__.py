"""From primitive operations to C, and to a library that is loaded.

plan         which variables lie in memory (`buffers`), and which are computed where they are used
fuse         which loops run together
emit_c       a function for each group of loops: `loops` around `points`, of which `body` writes what is
             computed, in the expressions of `scalars`; `products` and `blas` for matrices; `sharing` for
             threads
emit_values  the same for operations on single numbers, in which `rolled` finds the loops
c_source     the C as functions that can be compiled side by side; `prelude.h` has exp, log and tanh
build        the C compiler; `library_cache` keeps what it made
"""
