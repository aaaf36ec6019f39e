"""One script per analysis; each is a command of `interp` and of ``python -m analyses.<name>``.

They are to be read from top to bottom, like a methods section; what they are made of is in `parts`.
"""
