"""What an operator probably wanted to write, for messages that say what is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that looks most like ``name``, in any case; None when none does."""
    folded = {one.casefold(): one for one in sorted(known)}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[near[0]] if near else None


def unknown_name(name: str, known: Iterable[str]) -> str:
    """The message for a name that is not ``known``: the nearest one, or all of them."""
    names = sorted(known)
    near = nearest(name, names)
    hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(names)}"
    return f"is not known; {hint}"
