"""The project's figures: one style, one palette, Spanish text, alternative text in each.

``style`` holds what they share; ``eda``, ``model`` and ``effects`` draw, one function a figure.
"""

from .style import COUNTRY_COLORS, LEVEL_COLORS, Plot, country_colors

__all__ = ["COUNTRY_COLORS", "LEVEL_COLORS", "Plot", "country_colors"]
