"""Layer × token heatmaps of what a language model knows, and where.

Data flows one way through modules named after what they hold: questions (`datasets`) → answers (`answers`) →
positions (`positions`) → residual streams (`activations`) → a method's map (`probe`) → `heatmap` → `plot`.
Importing this package loads nothing heavy; every module is imported by its own name.
"""

__version__ = "0.1.0"
