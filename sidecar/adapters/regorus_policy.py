"""The policy engine in this process: regorus, with its two evaluators used for what each does well.

The interpreter answers: it keeps to OPA's semantics, and an error of evaluation or a conflict is
an error, never a value. But nothing stops it, and while it runs nobody else does. So the virtual
machine runs first, as a fuse: what it cannot evaluate within its limit of instructions is refused
before the interpreter sees it. Its own answer is dropped: ``x := input.absent`` succeeds there.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sidecar.adapters.policy_files import PolicyFiles, read_policy_files
from sidecar.adapters.rego_ast import Fault, fault_of, parse
from sidecar.adapters.rego_lint import lint
from sidecar.adapters.regorus_api import new_engine, new_rvm
from sidecar.core.model import Question, Refused, Ruling
from sidecar.core.reasons import Reason
from sidecar.core.ruling import parse_ruling

MAX_DOCUMENT: Final = 256 * 1024
"""Bytes of a question; a larger one is refused."""

# Asked once while loading: a policy that fails on a call without anything would fail on many.
_PROBE: Final = Question(
    b'{"version":1,"now":0,"agent":{"issuer":"","tenant":"","subject":"","id":"","task":"",'
    b'"session":"","scopes":[],"issued_at":null,"expires_at":0,"ancestors":[]},"request":{"id":"",'
    b'"method":"GET","scheme":"https","host":"","path":"/","segments":[],"query":{},"headers":{},'
    b'"access":"write","body_bytes":0},"tool":null,"route":{"name":"","protocol":"http",'
    b'"audience":"","params":{}},"source":{"address":"","principal":""},"policy":{"revision":""}}'
)
_PLACE: Final = re.compile(r"^--> (?P<place>.*:\d+):\d+$", re.MULTILINE)
_NO_RULE: Final = "not a valid rule path"
_OVER_LIMIT: Final = "exceeded maximum instruction limit"


class PolicyLoadError(Exception):
    """The policies cannot be used; one line per fault, each with its file and line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class EntrypointError(PolicyLoadError):
    """The policies load, but the entry point is not among them, or gives no ruling."""


class EmbeddedPolicy:
    """Policies that this process evaluates itself; it cannot be unreachable.

    Made by ``load``. An evaluator belongs to one thread, so every thread gets its own.
    """

    def __init__(self, files: PolicyFiles, entrypoint: str) -> None:
        self._modules = files.modules
        self._data = json.dumps(files.data)
        self._entrypoint = entrypoint
        self._revision = files.revision
        self._of_thread = threading.local()

    @classmethod
    def load(cls, paths: Sequence[Path], entrypoint: str) -> EmbeddedPolicy:
        """Read, check and try every module and data file below ``paths``.

        ``entrypoint`` is the rule that rules, for example ``data.scopegate.ruling``. Raises
        ``PolicyLoadError`` with everything that is wrong.
        """
        files = read_policy_files(paths)
        parsed = [parse(*module) for module in files.modules]
        faults = [*files.faults, *(module for module in parsed if isinstance(module, Fault))]
        modules = [module for module in parsed if not isinstance(module, Fault)]
        faults = faults or lint(modules, files.data)
        if faults:
            raise PolicyLoadError(faults)
        policy = cls(files, entrypoint)
        policy._try(str(paths[0]) if paths else "")
        return policy

    @property
    def revision(self) -> str:
        """The first 16 hexadecimal digits of a SHA-256 over all names and contents."""
        return self._revision

    async def rule_on(self, question: Question, *, deadline: float) -> Ruling | Refused:
        """What policy says; see ``ports.Policy``. Takes microseconds, so ``deadline`` is unused."""
        del deadline
        return self._rule_on(question)

    def _rule_on(self, question: Question) -> Ruling | Refused:
        if len(question.document) > MAX_DOCUMENT:
            return _refused(f"the question is larger than {MAX_DOCUMENT} bytes")
        try:
            return parse_ruling(self._evaluator().ask(question.document.decode()))
        except UnicodeDecodeError:
            return _refused("the question is not UTF-8")
        except RuntimeError as error:
            return _refused(_without_input(str(error)))
        except BaseException as panic:
            if type(panic).__name__ != "PanicException":
                raise
            del self._of_thread.evaluator  # whatever state it is in, nobody meets it again
            return _refused("the engine failed")

    def _evaluator(self) -> _Evaluator:
        try:
            evaluator: _Evaluator = self._of_thread.evaluator
        except AttributeError:
            evaluator = _Evaluator(self._modules, self._data, self._entrypoint)
            self._of_thread.evaluator = evaluator
        return evaluator

    def _try(self, root: str) -> None:
        """Compile, and rule once; raises ``PolicyLoadError``."""
        try:
            self._evaluator()
        except RuntimeError as error:
            fault = fault_of(error, root)
            if fault.text == _NO_RULE:
                fault = Fault(root, 0, f"entry point {self._entrypoint} is no rule")
                raise EntrypointError([fault]) from None
            raise PolicyLoadError([fault]) from None
        ruling = self._rule_on(_PROBE)
        if isinstance(ruling, Refused):
            text = f"{self._entrypoint} fails on a call without anything: {ruling.detail}"
            raise EntrypointError([Fault(root, 0, text)])


class _Evaluator:
    """Both evaluators, for one thread."""

    def __init__(self, modules: Sequence[tuple[str, str]], data: str, entrypoint: str) -> None:
        self._fuse = new_rvm(modules, data, entrypoint)
        self._engine = new_engine(modules, data)
        self._entrypoint = entrypoint

    def ask(self, document: str) -> str:
        """The ruling's JSON text. Raises ``RuntimeError``."""
        self._fuse.set_input_json(document)
        self._fuse.execute()
        self._engine.set_input_json(document)
        return self._engine.eval_rule_as_json(self._entrypoint)


def _refused(detail: str) -> Refused:
    return Refused(Reason.POLICY_ERROR, detail)


def _without_input(error: str) -> str:
    """Where it failed. What the engine says of it quotes the caller's values."""
    if _OVER_LIMIT in error:
        return "evaluation took too many instructions"
    place = _PLACE.search(error)
    return f"{place['place']}: evaluation failed" if place else "evaluation failed"
