"""How results are made, where no flag says it: in their identities, so that what older code made is made anew.

An entry is added when results change without a flag having changed, and says what they are now. The name of a key has
no meaning of its own; that there is one, or another value, is enough.
"""

from __future__ import annotations

SCORES = {"within_folds": "rough fits, to 1e-4 of the objective"}
"""Of probes. Before, fits that only choices are made by were made to 1e-5, or as others are."""

PROBE_MAP = {
    "marks": "refits of own permutations, or sign flips of groups",
    "halved": "cells all over the map, the more often the fewer",
    "best_nested": "scores of all folds together",
    "groups": "six of either class",
}
"""Before, all cells that are refitted had the same permutations, groups of any sizes were exchanged, which cells were
halved depended on their AUCs, of small maps as often as of large ones, the best cell chosen apart had the mean of the
folds' AUCs, and examples of a class in few groups were probed."""

WHITENED = {"calibration_error": "none"}
"""Before, scores that know no share of errors were taken for log-odds."""

BEYOND_CONTROLS = {
    "marks_beyond": "sign flips",
    "subtracted": "the strongest control",
    "together": "weights not below 0",
}
"""Before, the map had no marks, was beyond all controls together, and scores could count the wrong way round."""

LENS_READINGS = {"sums": "keep their digits", "not_finite": "missing"}
"""Before, KL and entropy lost digits over a large vocabulary, and a token's rank among numbers that are none was 1."""

GOLD_TOKENS = {"gold": "where the exact answer is another, the correct one's"}
"""Of answers that are right by what stands anywhere in them. Before, it was their exact answer's, whatever that was."""

SHARES = {"shares": "Wilson's interval of groups"}
"""Of maps of shares that are 0 or 1. Before, it was that of as many examples."""

READ_SIGNS = {"signs": "5 is not in 3.5, nor ハ in パ"}
"""Of sets whose answers have digits, or marks that are no accents. Before, names stood within numbers and letters."""

REFITS = {"intervals": "for the refits, of what a fold's probe scores"}
"""Of what `interp apply` makes. Before, those of answers that were trained on took the probes as given."""

FEW_GROUPS = "Student's interval of groups"
"""Of R². Before, it was that of as many groups as there may be."""

INITIALS = {"words": "initials are closed, and an article has a word after it"}
"""When two answers that were copied out of texts are the same. Before, U.S. was not US, and (A) was not A."""

ACCENTS = {"accents": "are in the token of their letter"}
"""Of texts that are not composed. Before, a mark that a tokenizer joins to its letter was in the next token."""

GIVEN = {"given": "spelt after the prompt's line break, without an end"}
"""Of answers that the user has. Before, those of a chat were spelt as if nothing stood before them."""

NAMED = "alike but for case, articles and punctuation"
"""When two answers that were copied out of texts are kept together. Before, when they were the same characters."""

SAMPLES = {"draws": "of each prompt by itself"}
"""Before, numbers were drawn for a batch."""

PATCH_MAP = {"marks": "step by step", "over_half": "past half-way", "percentiles": "of few pairs farther out"}
"""Before, all cells were held against the largest of the map, what went the other way was past half-way too, and
intervals of few pairs were those of many."""

COMPARISON = {
    "intervals": "around what the draws of one map give with the other as it is",
    "pairs": "are drawn with both of their questions",
}
"""Before, intervals of correlations were around twice what was found less what the draws give, and pairs were drawn
with the first of their questions."""

OTHER_QUESTIONS = {"examples": "of other questions are drawn by their groups alone"}
"""Before, comparisons of data sets took questions of two sets that had the same id for one."""

PATCHED_CELLS = {"cells": "that can have an effect"}
"""Before, cells in which a patch can do nothing had a value."""

HOOKS_CALLED_AGAIN = {"hooks": "every call of one"}
"""Of screening at a hook by TransformerLens's name, which a model may call for queries, keys and values; before, the
gradient was that of the last call alone."""

CCS = {"c": 0.01}
"""Of the regression beside it, `interp.probes.contrast_probes.C`."""
