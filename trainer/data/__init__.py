"""From records to batches: index, prompt, collate."""
