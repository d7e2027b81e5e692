"""What the services of this shop share."""
