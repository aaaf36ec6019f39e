"""Layer × token heatmaps of what a language model knows, and where.

Data flows one way, through packages named after what they hold:

    questions → answers → activations → {probes, lenses, patching} → results → {comparisons, wording, figures} → report

`positions` says which tokens of an answer are captured; `models`, `statistics` and `work` serve all of these.
Importing this package loads nothing heavy; every module is imported by its own name.
"""

__version__ = "0.1.0"
