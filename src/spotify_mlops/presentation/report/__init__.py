"""The rendered reports: one page a notebook, the model card, an index, and grids compared."""

from .grid import render_grid
from .pages import render

__all__ = ["render", "render_grid"]
