import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import CrossSiteRequest
from sidecar.visit.cross_site import refuse_cross_site

PUBLIC = "https://auth.club.net"
SAME = (b"sec-fetch-site", b"same-origin")
OURS = (b"origin", b"https://auth.club.net")


@pytest.mark.parametrize(
    "headers",
    [[SAME], [OURS], [SAME, OURS], [(b"host", b"auth.club.net"), (b"cookie", b"a=b"), SAME, OURS]],
)
def test_a_form_of_our_own_page_passes(headers: list[tuple[bytes, bytes]]) -> None:
    refuse_cross_site(headers, PUBLIC)


@pytest.mark.parametrize(
    "site", [b"cross-site", b"same-site", b"none", b"", b"Same-Origin", b"same-origin, x"]
)
def test_any_other_site_is_refused_whatever_the_origin_says(site: bytes) -> None:
    with pytest.raises(CrossSiteRequest):
        refuse_cross_site([(b"sec-fetch-site", site), OURS], PUBLIC)


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"http://auth.club.net",
        b"https://auth.club.net/",
        b"https://auth.club.net:443",
        b"https://AUTH.club.net",
        b"https://app.club.net",
        b"https://auth.club.net.evil.net",
        b"https://auth.club.net, https://auth.club.net",
    ],
)
def test_without_fetch_metadata_the_origin_must_be_ours_to_the_letter(origin: bytes) -> None:
    with pytest.raises(CrossSiteRequest):
        refuse_cross_site([(b"origin", origin)], PUBLIC)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"referer", b"https://auth.club.net/auth/login")],
        [SAME, SAME],
        [SAME, (b"sec-fetch-site", b"cross-site")],
        [OURS, OURS],
        [OURS, (b"origin", b"null")],
    ],
)
def test_a_form_that_says_nothing_or_says_it_twice_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(CrossSiteRequest):
        refuse_cross_site(headers, PUBLIC)


def test_the_refusal_quotes_at_most_a_little_of_what_was_sent() -> None:
    with pytest.raises(CrossSiteRequest) as raised:
        refuse_cross_site([(b"origin", b"x" * 10_000)] * 100, PUBLIC)
    assert len(str(raised.value)) < 500
    with pytest.raises(CrossSiteRequest, match="sec-fetch-site missing, origin missing"):
        refuse_cross_site([], PUBLIC)


@settings(deadline=None)  # no time limits: machines are busy
@given(st.lists(st.tuples(st.sampled_from([b"sec-fetch-site", b"origin"]), st.binary(max_size=30))))
def test_no_other_pair_of_values_passes(headers: list[tuple[bytes, bytes]]) -> None:
    if headers in ([SAME], [OURS]):
        return
    with pytest.raises(CrossSiteRequest):
        refuse_cross_site(headers, PUBLIC)
