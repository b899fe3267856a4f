"""What the threads of a compiled step share, and how its C says so.

OpenMP's threads divide large loops and products among themselves. Whatever their number, the results have the
same bits: a thread computes whole elements, and where the outermost loop is summed over, it is divided into
`CHUNKS` parts, whose sums are added in order. The C of a step in which nothing is large knows no threads.
"""

from __future__ import annotations

WORK = 2**23
"""How many simple instructions the loops of a group take, from which on threads share them: so many that it
costs little beside them to wake threads that sleep."""
MULTIPLICATIONS = 2**24
"""The same for the multiplications of a product."""
ELEMENTS = 2**20
"""The same for the elements of a matrix that is copied."""
CHUNKS = 16
"""Into how many parts a loop is divided that is summed over."""
SUMMED = 4 * CHUNKS
"""How many steps it has, from which on it is: the sums of the parts cost little beside it."""

COUNT = "ninja_threads"
DECLARATION = f"extern int {COUNT};"
DEFINITION = f"int {COUNT} = 1; /* set before each run */"
_PARALLEL = "#pragma omp parallel"
REGION = f"{_PARALLEL} num_threads({COUNT})"
LOOP = f"{_PARALLEL} for num_threads({COUNT}) schedule(static)"
PART = "#pragma omp for schedule(static) nowait"
"""A loop within a region, at whose end no thread waits for the others: in the next loop of the same size, the
same steps are its own."""
