"""Raw sources become records and images."""
