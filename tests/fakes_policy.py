"""A policy for unit tests: it answers what it was told to, and passes the port's contract."""

from __future__ import annotations

from sidecar.core.model import Dependency, Question, Refused, Ruling, Unavailable
from sidecar.core.reasons import Reason
from sidecar.core.ruling import parse_ruling


class FakePolicy:
    """Answers ``answer``, a ruling's JSON text, and remembers what it was asked."""

    def __init__(self, answer: str = '{"action": "allow"}', *, revision: str = "0" * 16) -> None:
        self.answer = answer
        self.revision = revision
        self.reachable = True
        self.asked: list[Question] = []

    async def rule_on(self, question: Question, *, deadline: float) -> Ruling | Refused:
        """Raises ``Unavailable(POLICY)`` while not ``reachable``."""
        del deadline
        self.asked.append(question)
        if not self.reachable:
            raise Unavailable(Dependency.POLICY, "not reachable")
        if not question.document:
            return Refused(Reason.POLICY_ERROR, "the question is empty")
        return parse_ruling(self.answer)
