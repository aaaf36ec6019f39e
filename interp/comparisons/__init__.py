"""How far maps agree: in the order of their cells, with intervals over examples, and against chance.

Begin with `compare`. `comparable` says whether the cells of maps mean the same, `map_agreement` has the statistics.
"""
