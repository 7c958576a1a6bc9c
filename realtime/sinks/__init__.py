"""Where the steps of a session go: the terminal, files."""
