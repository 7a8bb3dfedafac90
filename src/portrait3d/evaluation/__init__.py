"""Metrics and tables, without thresholds."""
