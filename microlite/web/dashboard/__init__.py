"""The dashboard: pages over what the built-in services say, on an origin of their own."""
