"""`python -m phi3v_data.cli`: the same as `phi3v-data`, where the script is not on the path."""

from .main import main

main()
