"""The built-in service `tx`: changes of several services in one commit."""
