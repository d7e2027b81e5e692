"""The command line: one module for each command, imported when that command runs.

A command is thin: it reads its options, asks the platform over its socket (`link`), and prints (`output`). What it cannot
do it says by raising; `entry` turns that into one line and an exit code. `root` knows all commands by their texts alone,
so that `--help` imports none of them.
"""
