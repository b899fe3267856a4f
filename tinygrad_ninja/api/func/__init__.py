"""Derivatives of functions; `tinygrad_ninja.func` offers them."""
