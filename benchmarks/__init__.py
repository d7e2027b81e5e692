"""The budgets of microlite, measured: one script for each row, against programs that do the same work."""
