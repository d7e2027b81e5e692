"""What a service keeps and hears through the platform, as its author uses it."""
