"""The endpoints of the service `store`."""
