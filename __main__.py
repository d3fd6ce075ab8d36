"""`python -m phi3v_data`: the command line."""

from .cli.main import main

main()
