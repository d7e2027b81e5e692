"""The web faces of the platform."""
