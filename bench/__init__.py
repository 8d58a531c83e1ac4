"""Measures what a check costs; ``python -m bench --help``."""
