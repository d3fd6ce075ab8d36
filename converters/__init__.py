"""Raw sources become records and pictures."""
