"""What a run reports while it goes on: losses, throughput, memory, to files, a terminal and trackers."""

from __future__ import annotations

from .report import StepReport, logged_losses
from .telemetry import Telemetry

__all__ = ["StepReport", "Telemetry", "logged_losses"]
