"""The prompt of `microlite shell`: Python with top-level `await`, in which each service is an object."""
