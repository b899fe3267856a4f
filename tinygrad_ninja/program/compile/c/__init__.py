"""From primitive operations to C, and to a library that is loaded.

plan         which variables lie in memory (`buffers`), and which are computed where they are used
fuse         which loops run together
c_code       C as data: loads, stores, loops, indices that are sums of counters
emit_c       a function for each group of loops: `loops` around points, of which `body` says what is computed,
             in the expressions of `scalars`, and `folds` how it is reduced; `multiply` calls `products` or
             `blas` for matrices, `ordering` what sorts; `sharing` for threads
writer       the data as text
emit_values  the same for operations on single numbers, in which `rolled` finds the loops
c_source     the C as functions that can be compiled side by side; `prelude.h` has exp, log, tanh and sorting
build        the C compiler; `library_cache` keeps what it made
"""
