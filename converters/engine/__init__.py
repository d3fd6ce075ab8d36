"""Plan, workers, journal, assembly: one conversion from start to end."""
