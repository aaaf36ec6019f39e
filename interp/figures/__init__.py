"""Drawing: results as figures, the same bytes for the same values.

Begin with `plot`, which draws heatmaps; other results have modules of their own (`forest`, `matrix_figure`, …). The
figures of a paper are listed (`figure_list`), put together (`paper_figure`) and say what they were drawn from
(`figure_metadata`).
"""
