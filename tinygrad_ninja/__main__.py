"""`python -m tinygrad_ninja` is `ninja`."""

from .cli import main

main()
