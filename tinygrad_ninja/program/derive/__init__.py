"""The backward pass written out: as code, as formulas, explained line by line.

derivation      `derive`, and what it returns: a script, a page or a notebook
function        a function, run so that all it does is recorded, under the names in it (`naming_code`)
record          the graph of a loss as a program, with the reader's names (`reader_names`); what has none gets
                one of `new_names`
backward_lines  the forward pass cut into lines, and each line's gradients by the operations' rules
simplify        chains with a known gradient (`chains`), found in the program (`candidates`) by their numbers
                at a point `nearby`, however they are written
listing         both passes as lines of Python (`statements`), with numbers by their names (`sizes`)
inputs          the numbers of a script; `slopes` its check by small steps
formula         an operation and its rules as formulas of whole arrays, in pieces of `mathematics`
indexed         the same for one element
explain         the page of a value: its uses (`paths`), the derivatives in each (`local`, `proofs`,
                `small_cases`), why there is a sum (`wording`), and what small steps say (`evidence`)
"""

from .derivation import Derivation, derive

__all__ = ["Derivation", "derive"]
