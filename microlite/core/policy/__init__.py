"""Who may do what, as pure data and pure decisions: the platform and each node decide alike."""
