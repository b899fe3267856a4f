"""What a recording depends on beside its arguments, compared before every call.

world      the objects that a function can reach: `walk` finds them, by the names that its code uses
           (`code_names`, `reading`, `named`), their parts (`parts`) and what they hold (`contents`)
held       the places whose numbers and Tensors are left to the step, which may set them anew
left       what of optimizers and schedulers is left to the step
watched    the comparisons, generated as one expression; `alike` are objects as good as others; `in_words`
           says what is another
trusted    what never changes, and functions whose results depend on their arguments alone
refused    what can't be relied on, why, and what to do instead
owners     whose an object is, asked without running its code
modes      the engine's settings
"""
