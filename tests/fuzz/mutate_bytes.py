"""What is done to JSON texts before they are signed, and to tokens after."""

from __future__ import annotations

import random
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Final, TypeAlias

from tests.tokens import base64url

Draw: TypeAlias = random.Random
Change: TypeAlias = Callable[[Draw, bytes], bytes]

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_TOKEN: Final = b'ABCabc019-_.+/=~ \t\r\n\0\xff%,"'
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


# --- texts ---------------------------------------------------------------------------------------


def _spaced(draw: Draw, raw: bytes) -> bytes:
    space = draw.choice((b" ", b"\n", b"\t" * 50, b"\x0c", b"\xc2\xa0", b"\xe2\x80\xa8"))
    mark = draw.choice((b",", b":", b"{", b"}", b"["))
    return raw.replace(mark, mark + space)


def _encoded(draw: Draw, raw: bytes) -> bytes:
    encoding = draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"))
    return raw.decode(errors="replace").encode(encoding)


def _around(draw: Draw, raw: bytes) -> bytes:
    more = draw.choice((b" ", b"\0", b"{}", b"//", b",", b"\xef\xbb\xbf", b"[", b"]", b'"', b"\n"))
    return draw.choice((more + raw, raw + more))


def _escaped(draw: Draw, raw: bytes) -> bytes:
    letter = draw.choice(b'aeistx"/')
    return raw.replace(bytes([letter]), f"\\u{letter:04x}".encode())


def _not_utf8(draw: Draw, raw: bytes) -> bytes:
    bad = draw.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc3"))
    at = draw.randrange(len(raw) + 1)
    return raw[:at] + bad + raw[at:]


def _cut(draw: Draw, raw: bytes) -> bytes:
    return raw[: draw.randrange(len(raw) + 1)]


def _another_document(draw: Draw, raw: bytes) -> bytes:
    del raw
    return draw.choice((b"", b"{}", b"[]", b"null", b'"a"', b"1", b"[" * 3000, b'{"a":' * 900))


# --- tokens --------------------------------------------------------------------------------------


def _flipped(draw: Draw, raw: bytes) -> bytes:
    if not raw:
        return raw
    at = draw.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ (1 << draw.randrange(8))]) + raw[at + 1 :]


def _replaced(draw: Draw, raw: bytes) -> bytes:
    if not raw:
        return raw
    at = draw.randrange(len(raw))
    return raw[:at] + bytes([draw.choice(_BASE64)]) + raw[at + 1 :]


def _inserted(draw: Draw, raw: bytes) -> bytes:
    at = draw.randrange(len(raw) + 1)
    more = bytes(draw.choice(_TOKEN) for _ in range(draw.choice((1, 1, 2, 4, 40))))
    return raw[:at] + more + raw[at:]


def _deleted(draw: Draw, raw: bytes) -> bytes:
    at = draw.randrange(len(raw) + 1)
    return raw[:at] + raw[at + draw.choice((1, 1, 2, 3, 4, 40)) :]


def _dotted(draw: Draw, raw: bytes) -> bytes:
    parts = raw.split(b".")
    match draw.randrange(6):
        case 0:
            draw.shuffle(parts)
        case 1:
            parts.insert(draw.randrange(len(parts) + 1), b"")
        case 2:
            parts.pop()
        case 3:
            parts[draw.randrange(len(parts))] = b""
        case 4:
            parts.append(parts[-1])
        case _:
            return raw.replace(b".", draw.choice((b"..", b"%2E", b"", b". ")))
    return b".".join(parts)


def _respelled(draw: Draw, raw: bytes) -> bytes:
    """The same bits in other letters, as lax decoders take them."""
    parts = raw.split(b".")
    at = draw.randrange(len(parts))
    part = parts[at]
    spare = part[-1:] and bytes([_BASE64[(_BASE64.find(part[-1:]) + 1) % 64]])
    parts[at] = draw.choice(
        (
            part + b"=" * (-len(part) % 4),
            part + b"=",
            part.translate(bytes.maketrans(b"-_", b"+/")),
            part[:-1] + spare,
            part + b"A",
            part[:4] + b"\n" + part[4:],
        )
    )
    return b".".join(parts)


def _signature(draw: Draw, raw: bytes) -> bytes:
    """Other signatures that a lax verifier takes: malleable, empty, all zero, too long."""
    signed, _, encoded = raw.rpartition(b".")
    size = len(encoded) * 3 // 4
    other = draw.choice(
        (b"", b"\0", bytes(size), b"\xff" * size, bytes(32) + b"\1" * 32, bytes(size) + b"\0")
    )
    if len(encoded) == 86 and draw.random() < 0.6:
        other = _malleable(draw, encoded)
    return signed + b"." + base64url(other)


def _malleable(draw: Draw, encoded: bytes) -> bytes:
    try:
        raw = urlsafe_b64decode(encoded + b"==")
    except ValueError:  # broken before
        return b""
    first, second = raw[:32], raw[32:]
    little = int.from_bytes(second, "little") + _ED25519_ORDER
    return draw.choice(
        (
            first + ((_P256_ORDER - int.from_bytes(second)) % 2**256).to_bytes(32),
            first + (little % 2**256).to_bytes(32, "little"),
            second + first,
            b"\0" + raw,
            raw[1:],
        )
    )


def _long(draw: Draw, raw: bytes) -> bytes:
    size = draw.choice((8191, 8192, 8193, 20_000))
    filler = draw.choice((b"A", b".", b"-", b"="))
    return raw + filler * (size - len(raw))


ON_TEXT: Final[tuple[Change, ...]] = (
    *(_spaced, _encoded, _around, _escaped, _not_utf8, _cut, _another_document, _flipped),
)
ON_TOKEN: Final[tuple[Change, ...]] = (
    *(_flipped, _flipped, _replaced, _replaced, _inserted, _deleted, _dotted, _respelled),
    *(_signature, _long, _cut),
)
