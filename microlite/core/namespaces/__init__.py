"""The built-in service `namespaces`: which tenants there are, and what each may use."""
