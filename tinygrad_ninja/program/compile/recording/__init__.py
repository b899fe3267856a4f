"""The first call of a function: it runs as eager code, and what it does is written down.

capture    what the function computes, draws and changes; `captured` is what that comes to
tape       what is computed with recorded arrays (`recorded`), and the memory that changes; on torch tensors
           by their shapes alone (`shapes`)
signature  what a recording depends on in the arguments
symbols    numbers that are read anew at every call; `stand_in` does with one what is not recorded, and
           `leaving` puts the numbers where the step has kept them
rates      such numbers in Python's objects, as an optimizer's groups, and those that the step sets there
sources    where such numbers are found, and what comparisons of them gave
checks     what is checked at every call, as the engine does
outputs    what the step hands out
histories  the ways back from results of which backward() is to be called later
values     the same for Values, one number at a time
"""
