"""`python -m phi3v_data`: the command line."""

from .cli.__main__ import main

main()
