"""What a model has in it while it answers: sites at the cells of a position table, in stores.

Begin with `capture`, which runs a model over answers and fills a `store`; `stores` finds and joins several, and
`export` writes them for other tools. `activation_map` draws up the maps that need nothing else.
"""
