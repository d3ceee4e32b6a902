"""Seesay: every vision-language architecture from one small set of parts."""

__version__ = "0.1.0"
