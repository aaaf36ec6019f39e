"""What a model has in it while it answers: sites at the cells of a position table, in stores.

Begin with `capture`, which runs a model over answers and fills a `store`, or with `in_memory`, which keeps nothing on
disk. `stores` finds and joins several stores, `export` writes them for other tools, and `activation_map` draws up the
maps that need nothing else.
"""
