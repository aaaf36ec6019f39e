"""What causes the answer: activation patching, over pairs of questions or of texts.

Begin with `wavefront`, where the algorithm is explained. `pairs` are matched, `pair_runs` and `recordings` run them as
they are, a `sweep` patches every layer of every column (`columns`), `pair_patching` does so for a whole question set,
and `patch_map` draws up the map. `attribution_patching` estimates the same cells from gradients.
"""
