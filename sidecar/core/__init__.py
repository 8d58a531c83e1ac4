"""Decisions as pure functions over values: no I/O, no clock, no log, no protobuf.

Import rules (``pyproject.toml``, ``[tool.importlinter]``) hold this package to that.
"""
