"""From what a user typed to processes that run, restart and reload."""
