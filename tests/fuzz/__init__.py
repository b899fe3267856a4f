"""Random programs, each run in two ways that must agree: `python -m tests.fuzz --help`."""
