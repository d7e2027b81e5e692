"""The configuration of each namespace: a tree of typed values, in layers, with history and secrets."""
