"""The endpoints of the service `auth`."""
