"""What is asked of: language models with hooks, their tokens, their sites, and the path to their output.

Begin with `loading`, which loads one from what `model_sources` finds: a short name, a folder, a GGUF file or a hub id.
`hooked_model` has what the suite uses of it, `sites` the places within a block by one name for every family, `tokens`
which characters a token has.
"""
