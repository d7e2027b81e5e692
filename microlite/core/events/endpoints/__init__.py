"""The endpoints of the service `events`."""
