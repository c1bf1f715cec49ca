"""The words and tables of the notebooks: Spanish sentences generated from the run's numbers.

Notebooks hold the story and the queries; what computes or writes is here, where it is tested.
One module a phase.
"""

from ..results import record
from .inputs import parameters
from .show import Facts, Table, Text, listing, table

__all__ = ["Facts", "Table", "Text", "listing", "parameters", "record", "table"]
