"""The record and its forms on disk. Knows no source and no model framework."""
