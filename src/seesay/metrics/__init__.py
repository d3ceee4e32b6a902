"""Metrics: pure functions of what was said and what is true."""
