"""Video frames, picture encoding, archives, downloads."""
