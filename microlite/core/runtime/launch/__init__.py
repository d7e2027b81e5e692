"""Starting and ending OS processes, so that none of them outlives the platform."""
