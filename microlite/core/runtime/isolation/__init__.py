"""Walls between a service's processes and everything that is not theirs."""
