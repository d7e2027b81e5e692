"""Durable topics: what is published stays, and each group of consumers handles each event, at least once and in order."""
