"""microlite: a development platform in one file."""
