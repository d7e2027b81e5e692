"""Parts of the composition root that take more than a line each."""
