"""``x-forwarded-client-cert``, as Envoy writes it and as others would like it to be read."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.xfcc import MAX_BYTES, MAX_ELEMENTS, MAX_PAIRS, Element, parse

HASH = "c4fad1a931a225bd44962808185293c83a52279beac665310e8f2a3fda5ca7c4"
THUMBPRINT = base64.urlsafe_b64encode(bytes.fromhex(HASH)).rstrip(b"=").decode()
AGENT = "spiffe://acme.test/agent/a1"

# What Envoy 1.40 wrote (APPEND_FORWARD, every detail set), with shorter hashes and certificates.
FROM_ENVOY = (
    f'By=spiffe://acme.test/envoy;Hash={HASH};Cert="-----BEGIN%20CERTIFICATE-----%0AMIIB%0A'
    f'-----END%20CERTIFICATE-----%0A";Chain="x%0A";Subject="CN=x";URI={AGENT}'
)
FROM_ENVOY_NO_URI = (
    f"By=spiffe://acme.test/envoy;Hash={HASH};"
    r'Subject="O=O\;By=x,CN=we\"ird\, \\ \; =\C3\BC";URI=;DNS=a.acme.test;DNS=b.acme.test'
)
FROM_ENVOY_TWO_URIS = f'Hash={HASH};Subject="CN=t";URI={AGENT};URI=spiffe://acme.test/agent/a2'


@pytest.mark.parametrize(
    ("value", "element"),
    [
        (FROM_ENVOY, Element((AGENT,), THUMBPRINT)),
        (FROM_ENVOY_NO_URI, Element(("",), THUMBPRINT)),
        (FROM_ENVOY_TWO_URIS, Element((AGENT, "spiffe://acme.test/agent/a2"), THUMBPRINT)),
        (f"URI={AGENT}", Element((AGENT,), "")),
        (f'uri="{AGENT}"', Element((AGENT,), "")),
        (f"hAsH={HASH.upper()}", Element((), THUMBPRINT)),
        ('By=a;By="b"', Element((), "")),
        (r'Subject="a\\b\"c,d;e=f";URI=', Element(("",), "")),
        ("By=", Element((), "")),
    ],
)
def test_parse_returns_element_when_it_is_well_formed(value: str, element: Element) -> None:
    """Keys ignore case, values may be quoted, and what stands in quotes separates nothing."""
    assert parse([value.encode()]) == (element,)


def test_parse_keeps_order_when_there_are_several_elements_and_headers() -> None:
    """Joined in order; spaces may stand around a comma (RFC 9110, section 5.6.1)."""
    values = [b"URI=a:1,URI=a:2", b"URI=a:3 ,\tURI=a:4"]

    assert [element.uris for element in parse(values)] == [(f"a:{n}",) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "URI",
        "URI:a",
        "=a",
        "URI=a;",
        ";URI=a",
        "URI=a;;By=b",
        "URI=a,",
        ",URI=a",
        "URI=a,,URI=b",
        "URI=a b",
        "URI =a",
        "URI= a",
        "Uri=a; By=b",
        "URI=a=b",
        'URI=a"b',
        "URI=a\\b",
        'URI="a',
        'URI="a\\"',
        'URI=a"',
        'URI="a"b',
        'URI="a""b"',
        'URI="a\x00"',
        'URI="a\tb"',
        "URI=a\nb",
        "URI=\u00e9",
        'Subject="\u00e9"',
        "Name=a",
        "URI=a;Name=b",
        "\u017fubject=a",
        "Hash=",
        "Hash=ab",
        f"Hash={HASH}0",
        f"Hash={HASH[:-1]}g",
        f"Hash={HASH};Hash={HASH}",
        'Subject="a";Subject="b"',
        'Cert="a";Cert="b"',
        'Chain="a";Chain="b"',
    ],
)
def test_parse_returns_nothing_when_any_part_is_malformed(value: str) -> None:
    """Nothing is repaired: alone, before a good element or behind one."""
    good = FROM_ENVOY.encode()

    assert parse([value.encode()]) == ()
    assert parse([value.encode(), good]) == ()
    assert parse([good, value.encode()]) == ()


@pytest.mark.parametrize(
    "opened",
    [
        'URI="',
        'URI=spiffe://acme.test/agent/victim;Subject="',
        'Subject="\\',
    ],
)
@pytest.mark.parametrize("appended", [FROM_ENVOY, FROM_ENVOY_NO_URI, f"URI={AGENT}"])
def test_parse_returns_nothing_when_a_quote_would_swallow_what_a_proxy_appends(
    opened: str, appended: str
) -> None:
    """98: a client that opens a quote cannot hide its own element behind it."""
    assert parse([opened.encode(), appended.encode()]) == ()
    assert parse([f"{opened},{appended}".encode()]) == ()


def test_parse_returns_nothing_when_a_value_could_end_in_two_places() -> None:
    r"""Envoy 1.40 writes a subject that ends with a backslash as ``\\"``: an escape, and the end.

    By its documentation, which knows only ``\"``, the value would go on.
    """
    assert parse([rf'Subject="CN=x\\";URI={AGENT}'.encode()]) == ()
    assert parse([rf'Subject="CN=x\\y";URI={AGENT}'.encode()]) == (Element((AGENT,), ""),)


@pytest.mark.parametrize("value", [b" URI=a", b"URI=a ", b"\tURI=a"])
def test_parse_returns_nothing_when_spaces_stand_at_an_end(value: bytes) -> None:
    """HTTP takes them away before anybody sees a value (RFC 9110, section 5.5)."""
    assert parse([value]) == ()


def test_parse_returns_nothing_when_there_are_too_many_elements() -> None:
    """As many as a chain of proxies has, not as many as somebody likes."""
    assert len(parse([b"URI=a"] * MAX_ELEMENTS)) == MAX_ELEMENTS
    assert parse([b"URI=a"] * (MAX_ELEMENTS + 1)) == ()


def test_parse_returns_nothing_when_there_are_too_many_pairs() -> None:
    """Thousands of tiny pairs would take milliseconds to read."""
    assert len(parse([b"URI=a;" * (MAX_PAIRS - 1) + b"URI=a"])) == 1
    assert parse([b"URI=a;" * MAX_PAIRS + b"URI=a"]) == ()


def test_parse_returns_nothing_when_it_is_long() -> None:
    """The bound is on all headers together."""
    most = b"URI=" + b"a" * (MAX_BYTES - 4)

    assert len(parse([most])) == 1
    assert parse([most + b"a"]) == ()
    assert parse([most[:-5], b"By=b"]) != ()
    assert parse([most[:-4], b"By=b"]) == ()


def test_parse_returns_nothing_when_there_is_no_header() -> None:
    """No element, nobody."""
    assert parse([]) == ()


PIECES = st.sampled_from(
    [*',;="\\ \t\n', '\\"', "By", "Hash", "URI", "Subject", "DNS", "a", f"Hash={HASH}", "URI=a:b"]
)


@settings(deadline=None)
@given(
    values=st.lists(st.binary(max_size=40) | st.lists(PIECES).map(lambda x: "".join(x).encode()))
)
@example(values=[b"\xff"])
def test_parse_never_raises_when_bytes_are_odd(values: list[bytes]) -> None:
    """Whatever the headers hold: few elements, of visible ASCII."""
    elements = parse(values)

    assert len(elements) <= MAX_ELEMENTS
    for element in elements:
        assert element.certificate in ("", THUMBPRINT)
        assert all(uri.isascii() and uri.isprintable() for uri in element.uris)


@settings(deadline=None)
@given(client=st.lists(PIECES, max_size=12).map("".join))
def test_parse_reads_the_last_element_when_its_client_wrote_anything_before(client: str) -> None:
    """98: whatever a client sends, what its proxy appends is read as it is, or nothing is."""
    appended = FROM_ENVOY_NO_URI.replace("URI=;", f"URI={AGENT};")

    elements = parse([client.encode(), appended.encode()])

    assert not elements or elements[-1] == Element((AGENT,), THUMBPRINT)
