"""Line ends that are no CRLF."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.message.lines import bare_ends

pytestmark = pytest.mark.long


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"."])).map(b"".join))
def test_bare_ends(octets: bytes) -> None:
    """A CR is bare without an LF behind it, an LF without a CR before it."""
    bare_cr = bare_lf = False
    for place, octet in enumerate(octets):
        bare_cr |= octet == 0x0D and octets[place + 1 : place + 2] != b"\n"
        bare_lf |= octet == 0x0A and octets[:place][-1:] != b"\r"
    assert bare_ends(octets) == (bare_cr, bare_lf)
