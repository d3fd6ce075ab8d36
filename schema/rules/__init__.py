"""The validator: one file a family of rules."""
