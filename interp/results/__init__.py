"""What comes out: values with their intervals, their n, and all that says where they came from, as netCDF.

Every result is a `Result` (`result`): a `heatmap` of layers by positions, `estimates` by name, a `matrix` of training
by test sets, a `comparison` of maps, or the map of one prompt (`prompt_map`). `example_values` lie beside a heatmap.
"""
