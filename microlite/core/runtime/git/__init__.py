"""Sources that lie in git repositories: their addresses, and local copies of their commits."""
