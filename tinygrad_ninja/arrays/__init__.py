"""The arrays that a Tensor may hold: NumPy's, torch's and Python's floats, with their dtypes and devices.

`dispatch` finds the namespace of functions that belongs to an array. Nothing here knows the rest.
"""
