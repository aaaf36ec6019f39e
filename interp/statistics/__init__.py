"""Numbers of numbers: means, areas under curves, their intervals, and what they would be by chance.

Intervals are over examples, or over groups of them where they depend on each other (`groups`): by bootstrap (`means`),
by DeLong's variance (`auc`) or by the delta method (`r_squared`). `permutations` deals labels out anew.
"""
