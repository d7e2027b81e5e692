"""The HTTP face of all services: path table, protocol, ASGI application and the proxy to HTTP programs."""
