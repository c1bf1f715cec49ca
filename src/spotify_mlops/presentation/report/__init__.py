"""The rendered reports: one page a notebook, the model card, and an index."""

from .pages import render

__all__ = ["render"]
