"""Where raw data comes from: a local path, an archive, the hub."""
