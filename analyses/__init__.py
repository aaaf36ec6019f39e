"""One script per analysis; each is a command of `interp` and of ``python -m analyses.<name>``."""
