"""What can be read off: probes of every cell, their controls, and how far they carry.

Begin with `probe_map`. A cell's probe is fitted in folds (`cell_probe`, `cross_fitting`), by the solver of `logistic`
unless another is chosen (`classifiers`); `halves` widens intervals by what retraining adds, `chance` marks cells, and
`controls` and `selectivity` say what else a probe may have read.
"""
