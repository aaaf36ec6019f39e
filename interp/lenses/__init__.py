"""What the model would say if it stopped there: the logit lens, tuned lenses, and direct logit attribution.

Begin with `lens`, which has what a lens is, and `lens_values`, which reads a whole store through one; `lens_map` draws
up the maps. `lens_training` trains a `tuned_lens`; `prompt_lens` reads a single prompt.
"""
