"""The command `phi3v-data`: one file a command; heavy imports happen inside the command."""
