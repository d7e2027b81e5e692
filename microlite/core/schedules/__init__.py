"""Calls at their time: by interval, by cron, and once."""
