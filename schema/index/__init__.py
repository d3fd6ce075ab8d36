"""What is known of a dataset before anything of it is decoded: where each record lies, and what it costs."""

from .costs import RecordCosts, record_costs
from .counting import Counting
from .records import RecordIndex

__all__ = ["Counting", "RecordCosts", "RecordIndex", "record_costs"]
