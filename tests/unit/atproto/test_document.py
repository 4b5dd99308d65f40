"""DID documents: whose they are, what they claim, and the shapes the network serves."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from sidecar.atproto.errors import InvalidDidDocument
from sidecar.atproto.identity import DidDocument, parse_did_document
from sidecar.atproto.identity import multikey as codec
from sidecar.atproto.identity.multikey import to_multikey
from sidecar.atproto.syntax import Did
from tests.fakes.vectors import cases

DID = Did("did:plc:7iza6de2dwap2sbkpav7c6c6")
KEY = "zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N"
CURVES: dict[str, tuple[ec.EllipticCurve, str]] = {
    "zQ3s": (ec.SECP256K1(), "EcdsaSecp256k1VerificationKey2019"),
    "zDna": (ec.SECP256R1(), "EcdsaSecp256r1VerificationKey2019"),
}


def document(**changes: object) -> dict[str, object]:
    """What the public directory serves, with changes; a member set to None is left out."""
    members = {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": DID,
        "alsoKnownAs": ["at://alice.example.com"],
        "verificationMethod": [method()],
        "service": [service()],
    }
    return {name: value for name, value in (members | changes).items() if value is not None}


def method(**changes: object) -> dict[str, object]:
    return {
        "id": f"{DID}#atproto",
        "type": "Multikey",
        "controller": DID,
        "publicKeyMultibase": KEY,
    } | changes


def service(**changes: object) -> dict[str, object]:
    pds = {
        "id": "#atproto_pds",
        "type": "AtprotoPersonalDataServer",
        "serviceEndpoint": "https://pds.example.com",
    }
    return pds | changes


def parse(**changes: object) -> DidDocument:
    return parse_did_document(DID, document(**changes))


def test_a_document_of_the_public_directory_is_read() -> None:
    read = parse()
    assert (read.did, read.handle, read.pds) == (DID, "alice.example.com", "https://pds.example.com")
    assert read.signing_key == KEY


def test_a_missing_context_is_no_matter() -> None:
    assert parse(**{"@context": None}) == parse()


@pytest.mark.parametrize(
    "other", ["did:plc:ewvi7nxzyoun6zhxrhs64oiz", DID.upper(), f"{DID}#x", None, 1, [DID]]
)
def test_a_document_of_another_id_is_refused(other: object) -> None:
    with pytest.raises(InvalidDidDocument):
        parse(id=other)


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_what_is_no_object_is_no_document(value: object) -> None:
    with pytest.raises(InvalidDidDocument):
        parse_did_document(DID, value)


@pytest.mark.parametrize(
    ("known_as", "handle"),
    [
        (["at://Alice.Example.COM"], "alice.example.com"),
        (["https://example.com", "at://alice.example.com"], "alice.example.com"),
        (["at://alice.example.com/", "at://bob.example.com"], "bob.example.com"),
        (["at://alice.example.com/x", "at://a b.com", "at://bob.example.com"], "bob.example.com"),
        (["at://first.example.com", "at://second.example.com"], "first.example.com"),
        (["at://alice.local", "at://bob.example.com"], None),
        (["at://handle.invalid"], None),
        (["at://alice.test"], None),
        (["AT://alice.example.com"], None),
        (["alice.example.com"], None),
        (["at://alice.example.com\n"], None),
        ([f"at://{DID}"], None),
        (["at://"], None),
        ([1, None, {}, ["at://alice.example.com"]], None),
        ("at://alice.example.com", None),
        ({"at://alice.example.com": 1}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_handle_is_the_first_valid_one_with_nothing_trailing(
    known_as: object, handle: str | None
) -> None:
    assert parse(alsoKnownAs=known_as).handle == handle


def test_a_test_handle_and_a_loopback_server_are_for_development() -> None:
    developers = document(
        alsoKnownAs=["at://alice.test"], service=[service(serviceEndpoint="http://localhost:2583")]
    )
    read = parse_did_document(DID, developers, development=True)
    assert (read.handle, read.pds) == ("alice.test", "http://localhost:2583")
    read = parse_did_document(DID, developers)
    assert (read.handle, read.pds) == (None, None)


@pytest.mark.parametrize(
    ("services", "pds"),
    [
        ([service(id=f"{DID}#atproto_pds")], "https://pds.example.com"),
        ([service(serviceEndpoint="https://pds.example.com/")], "https://pds.example.com"),
        (
            [service(id="#other", serviceEndpoint="https://other.example.com"), service()],
            "https://pds.example.com",
        ),
        (
            [service(type="Other", serviceEndpoint="https://other.example.com"), service()],
            "https://pds.example.com",
        ),
        ([service(), service(serviceEndpoint="https://second.example.com")], "https://pds.example.com"),
        ([service(serviceEndpoint="http://pds.example.com"), service()], None),
        ([service(id="did:plc:ewvi7nxzyoun6zhxrhs64oiz#atproto_pds")], None),
        ([service(id="#ATPROTO_PDS")], None),
        ([service(type="atprotopersonaldataserver")], None),
        ([service(serviceEndpoint="https://pds.example.com/xrpc")], "https://pds.example.com"),
        ([service(serviceEndpoint="https://pds.example.com//")], "https://pds.example.com"),
        ([service(serviceEndpoint="https://pds.example.com/a/b?c=d#e")], "https://pds.example.com"),
        ([service(serviceEndpoint="https://pds.example.com?")], "https://pds.example.com"),
        ([service(serviceEndpoint="https://pds.example.com#")], "https://pds.example.com"),
        ([service(serviceEndpoint="HTTPS://PDS.Example.com")], "https://pds.example.com"),
        ([service(serviceEndpoint="https://pds.example.com:443/")], "https://pds.example.com"),
        ([service(serviceEndpoint="https://pds.example.com:8443/x")], "https://pds.example.com:8443"),
        ([service(serviceEndpoint="https://b\u00fccher.com")], "https://xn--bcher-kva.com"),
        ([service(serviceEndpoint="https://user@pds.example.com")], None),
        ([service(serviceEndpoint="https://user@pds.example.com/xrpc")], None),
        ([service(serviceEndpoint="http://pds.example.com/xrpc")], None),
        ([service(serviceEndpoint="https://pds.example.com\\@evil.example.com/")], None),
        ([service(serviceEndpoint="https://127.1/xrpc")], None),
        ([service(serviceEndpoint="https://")], None),
        ([service(serviceEndpoint="pds.example.com")], None),
        ([service(serviceEndpoint="https://pds.example.com/" + "x" * 5000)], None),
        ([service(serviceEndpoint={"uri": "https://pds.example.com"})], None),
        ([service(serviceEndpoint=["https://pds.example.com"])], None),
        ([service(serviceEndpoint=None)], None),
        (["https://pds.example.com", None], None),
        (service(), None),
        ([], None),
        (None, None),
    ],
)
def test_the_server_is_the_first_service_of_the_right_id_and_type(services: object, pds: str | None) -> None:
    assert parse(service=services).pds == pds


@pytest.mark.parametrize(
    ("methods", "key"),
    [
        ([method(id="#atproto")], KEY),
        ([method(id="#other", publicKeyMultibase="zOther"), method()], KEY),
        ([method(controller="did:plc:ewvi7nxzyoun6zhxrhs64oiz")], None),
        ([method(type="Ed25519VerificationKey2020")], None),
        ([method(type=None)], None),
        ([method(publicKeyMultibase=None)], None),
        ([method(publicKeyMultibase="zz" * 1000)], None),
        ([method(publicKeyMultibase="")], None),
        ([method(publicKeyMultibase="Q3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N")], None),
        ([method(publicKeyMultibase="z0OIl")], None),
        ([method(publicKeyMultibase=KEY[:-1])], None),
        ([method(publicKeyMultibase="z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")], None),  # Ed25519
        (method(), None),
        (None, None),
    ],
)
def test_the_key_is_the_dids_own_and_of_a_curve_we_know(methods: object, key: str | None) -> None:
    assert parse(verificationMethod=methods).signing_key == key


@pytest.mark.parametrize("did_key", cases("did_keys"))
@pytest.mark.parametrize("form", [PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint])
def test_a_key_in_the_old_spelling_is_the_same_key(did_key: str, form: PublicFormat) -> None:
    multibase = did_key.removeprefix("did:key:")
    curve, old_type = CURVES[multibase[:4]]
    assert to_multikey("Multikey", multibase) == multibase
    point = ec.EllipticCurvePublicKey.from_encoded_point(curve, codec.from_base58(multibase[1:])[2:])
    old = "z" + codec.to_base58(point.public_bytes(Encoding.X962, form))
    assert to_multikey(old_type, old) == multibase


def test_a_key_of_another_length_is_none() -> None:
    for raw in (b"", b"\x02", b"\x02" * 32, b"\x04" + b"\x01" * 63, b"\x05" + b"\x01" * 32):
        assert to_multikey("EcdsaSecp256k1VerificationKey2019", "z" + codec.to_base58(raw)) is None


@given(st.binary(max_size=70).filter(lambda data: data[:1] != b"\0"))
def test_base58_reads_what_it_writes(data: bytes) -> None:
    assert codec.from_base58(codec.to_base58(data)) == data


def test_base58_keeps_leading_zeros() -> None:
    assert codec.from_base58("112") == b"\0\0\x01"


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(DID) | st.just("#atproto_pds"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
members: Callable[[str], st.SearchStrategy[object]] = lambda name: (  # noqa: E731 - a strategy per member
    odd
    | st.lists(st.fixed_dictionaries({"id": st.just(name), "type": odd, "serviceEndpoint": odd}), max_size=2)
)


@given(odd, members("#atproto_pds"), members("#atproto"))
def test_an_odd_document_is_read_without_a_crash(known_as: object, services: object, methods: object) -> None:
    read = parse_did_document(
        DID, {"id": DID, "alsoKnownAs": known_as, "service": services, "verificationMethod": methods}
    )
    assert read.did == DID
