"""A recorded computation as a program: derived, printed, simplified, explained."""

from .derive.derivation import Derivation, derive
from .instructions import Instruction, Program, Var

__all__ = ["Derivation", "Instruction", "Program", "Var", "derive"]
