"""The version, in one place: the build backend, the one file and `microlite version` read it here."""

__version__ = "0.1.0"
