"""The platform without its web faces."""
