"""The relay: who has no broker signs revocations with an operator's key, and publishes them.

``scopegate deny add`` → socket → journal (SQLite, the truth) → publisher → Redis → sidecars.
Reading order: ``journal_file``, ``journal``, ``audit``, ``redis_feed``, ``publisher``, ``desk``,
``app``.
"""
