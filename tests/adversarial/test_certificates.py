"""Certificates that aren't valid, on real TLS sockets: the error says what is wrong, and so does the log."""

import datetime as dt
from pathlib import Path

import pytest

from sidecar.atproto.errors import (
    CertificateExpired,
    CertificateForAnotherName,
    CertificateFromUnknownIssuer,
    CertificateRefused,
    HandleNotFound,
    ServerUnreachable,
)
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import HandleResolver
from sidecar.atproto.syntax import Handle
from sidecar.replies.words import explain
from tests.fakes.dns import dns_server
from tests.fakes.raw_server import Wires, raw_server
from tests.lab.certs import VALID, issue

DAY = dt.timedelta(days=1)
PDS = "pds.example.com"

FAULTS = {
    "expired": ([PDS], (-2 * DAY, -DAY), True, CertificateExpired, "has expired"),
    "not yet valid": ([PDS], (DAY, 2 * DAY), True, CertificateRefused, "not yet valid"),
    "another name": (["other.example.com"], VALID, True, CertificateForAnotherName, f"not valid for '{PDS}'"),
    "a wildcard too high": (["*.com"], VALID, True, CertificateForAnotherName, f"not valid for '{PDS}'"),
    "an unknown issuer": ([PDS], VALID, False, CertificateFromUnknownIssuer, "local issuer certificate"),
}


@pytest.mark.parametrize(("names", "valid", "known", "kind", "said"), FAULTS.values(), ids=FAULTS)
async def test_a_certificate_that_is_not_valid_is_refused_and_the_error_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    valid: tuple[dt.timedelta, dt.timedelta],
    known: bool,
    kind: type[Exception],
    said: str,
) -> None:
    served = issue(tmp_path / "served", names, valid=valid)
    trusted = served if known else issue(tmp_path / "trusted", names)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.ca))
    async with raw_server(served) as server:
        wires = Wires(server.port)
        fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect)
        with pytest.raises(ServerUnreachable) as refused:
            await fetch.request("GET", f"https://{PDS}/")
        await fetch.aclose()
    assert type(refused.value) is kind
    assert said in str(refused.value)
    assert PDS in str(refused.value)
    assert server.requests == []
    words = explain(refused.value)
    assert words.code == kind.code
    assert "certificate" in words.title
    assert said not in words.message


async def test_a_certificate_signed_by_itself_has_an_unknown_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authority's own certificate as the server's: nobody else has signed it."""
    mine, other = issue(tmp_path / "mine", [PDS]), issue(tmp_path / "other", [PDS])
    chain = tmp_path / "chain.pem"
    chain.write_bytes(mine.leaf.read_bytes() + mine.ca.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca))
    async with raw_server(type(mine)(ca=mine.ca, leaf=chain, key=mine.key)) as server:
        wires = Wires(server.port)
        fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect)
        with pytest.raises(
            CertificateFromUnknownIssuer, match="self-signed certificate in certificate chain"
        ):
            await fetch.request("GET", f"https://{PDS}/")
        await fetch.aclose()


async def test_an_address_that_the_certificate_does_not_name_is_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = issue(tmp_path, [PDS])
    monkeypatch.setenv("SSL_CERT_FILE", str(served.ca))
    async with raw_server(served) as server:
        wires = Wires(server.port, {"93.184.216.34": ["93.184.216.34"]})
        fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect)
        with pytest.raises(CertificateForAnotherName):
            await fetch.request("GET", "https://93.184.216.34/")
        await fetch.aclose()


async def test_a_handles_site_with_a_bad_certificate_is_a_fault_unless_dns_names_the_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, did = Handle("alice.example.com"), "did:plc:7iza6de2dwap2sbkpav7c6c6"
    served = issue(tmp_path, ["other.example.com"])
    monkeypatch.setenv("SSL_CERT_FILE", str(served.ca))
    async with raw_server(served) as server, dns_server() as dns:
        wires = Wires(server.port)
        fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect)
        resolver = HandleResolver(fetch, nameservers=[dns.address])
        with pytest.raises(CertificateForAnotherName) as refused:
            await resolver.resolve(handle)
        assert not isinstance(refused.value, HandleNotFound)
        dns.txt(f"_atproto.{handle}", f"did={did}")
        assert await resolver.resolve(handle) == did
        await fetch.aclose()
