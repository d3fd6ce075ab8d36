"""From records to batches: what they cost, in which order they come, who trains on them, and how they get there."""
