"""What a recording depends on beside its arguments, compared before every call.

world      the objects that a function can reach: `walk` finds them, by the names that its code uses
           (`code_names`, `reading`, `named`), their parts (`parts`) and what they hold (`contents`)
watched    the comparisons, generated as one expression
trusted    what never changes, and what can't be compared and is refused
modes      the engine's settings
"""
