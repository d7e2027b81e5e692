"""Who may do what. So far: the token of the admin of this machine."""
