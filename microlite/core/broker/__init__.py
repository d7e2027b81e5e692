"""Ephemeral messages by topic: who is subscribed gets them, and nobody else ever does."""
