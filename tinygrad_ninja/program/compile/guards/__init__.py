"""What a recording depends on beside its arguments, compared before every call.

world      the objects that a function can reach: `walk` finds them, by the names that its code uses
           (`code_names`, `reading`, `named`), their parts (`parts`) and what they hold (`contents`)
left       what of optimizers and schedulers is left to the step
watched    the comparisons, generated as one expression
trusted    what never changes, and functions whose results depend on their arguments alone
refused    what can't be relied on, why, and what to do instead
owners     whose an object is, asked without running its code
modes      the engine's settings
"""
