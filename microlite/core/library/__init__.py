"""What user code runs on: the service, its context, its node and the clients of other services."""
