"""What is asked of: language models with hooks, their tokens, their sites, and the path to their output.

Begin with `hooked_model`, which loads one from what `model_sources` finds: a short name, a folder, a GGUF file or a hub
id. `sites` has the places within a block by one name for every family; `tokens` says which characters a token has.
"""
