"""What results show, in numbers, in sentences, and as tables: captions, alt texts, CSV, JSON and LaTeX.

Begin with `heatmap_description`, which has the numbers, and `heatmap_wording`, whose every word stands for some of
them; `list_description` and `list_wording` are those of estimates and matrices.
"""
