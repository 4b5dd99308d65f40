"""The client's key set: what is loaded, what is refused and with which words, what is published."""

import json
from pathlib import Path

import pytest
from joserfc import jwk, jwt
from joserfc.jwk import ECKey

from sidecar.atproto.oauth import KeySet, generate_key, load_keys
from sidecar.atproto.oauth.keys import client_assertion
from sidecar.atproto.oauth.models import Jwk
from tests.fakes.sign_in import KEY, NEXT_KEY

NOW = 1_800_000_000.9
P384 = ECKey.generate_key("P-384").as_dict(private=True)
PUBLIC = {name: value for name, value in KEY.items() if name != "d"}


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "client-keys.json"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_new_key_is_named_by_its_thumbprint() -> None:
    key = generate_key()
    assert key["kid"] == ECKey.import_key(key).thumbprint()
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    example = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
            "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ"
            "R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF"
            "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
    }
    assert jwk.thumbprint(example) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_key_set_is_loaded_with_its_first_key_active(tmp_path: Path) -> None:
    keys = load_keys(written(tmp_path, json.dumps({"keys": [NEXT_KEY, KEY]})))
    assert keys.active_kid == NEXT_KEY["kid"]
    assert keys.get(KEY["kid"]) is not None
    assert keys.get("unknown") is None


def test_only_public_halves_are_published_the_active_one_first() -> None:
    published = KeySet([NEXT_KEY, KEY]).public_jwks()["keys"]
    assert [key["kid"] for key in published] == [NEXT_KEY["kid"], KEY["kid"]]
    for key in published:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o666, 0o644])
def test_a_file_that_others_get_at_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ValueError, match="chmod 600"):
        load_keys(written(tmp_path, json.dumps({"keys": [KEY]}), mode))


def test_a_file_handed_over_by_systemd_is_taken(tmp_path: Path) -> None:
    assert load_keys(written(tmp_path, json.dumps({"keys": [KEY]}), 0o440)).active_kid == KEY["kid"]


SINGLE = {name: KEY[name] for name in ("kty", "crv", "x", "y", "d")}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("more", [{"kid": "demo-1234"}, {"kid": "demo-1234", "alg": "ES256", "use": "sig"}])
def test_a_single_key_is_read_as_a_set_of_one(tmp_path: Path, more: Jwk, mark: str) -> None:
    keys = load_keys(written(tmp_path, mark + json.dumps({**SINGLE, **more})))
    assert keys.active_kid == "demo-1234"
    assert [key["kid"] for key in keys.public_jwks()["keys"]] == ["demo-1234"]


def test_a_single_key_without_a_kid_is_named_by_its_thumbprint(tmp_path: Path) -> None:
    assert (
        load_keys(written(tmp_path, json.dumps(SINGLE))).active_kid == ECKey.import_key(SINGLE).thumbprint()
    )


@pytest.mark.parametrize(
    ("document", "fix"),
    [
        ({**SINGLE, "kid": 7}, "no kid"),
        ({**SINGLE, "kid": ""}, "no kid"),
        ({**SINGLE, "crv": "P-384"}, "not for ES256"),
        ({name: SINGLE[name] for name in ("kty", "crv", "x", "y")}, "only the public half"),
        ({name: SINGLE[name] for name in ("kty", "crv", "x", "d")}, "damaged"),
        ({**SINGLE, "x": 5}, "damaged"),
        ({**SINGLE, "kty": None}, "not for ES256"),
    ],
)
def test_a_bad_single_key_is_refused_with_the_fix_and_without_the_key(
    tmp_path: Path, document: Jwk, fix: str
) -> None:
    with pytest.raises(ValueError, match=fix) as raised:
        load_keys(written(tmp_path, json.dumps(document)))
    assert KEY["d"] not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.json can't be read"):
        load_keys(tmp_path / "nothing.json")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="isn't a text file"):
        load_keys(path)


@pytest.mark.parametrize(
    ("document", "fix"),
    [
        ("nonsense", "isn't JSON"),
        ([KEY], "isn't a JWK set"),
        ({"keys": KEY}, "isn't a JWK set"),
        ({"keys": []}, "no key"),
        ({"keys": ["key"]}, "key 1 isn't a JSON object"),
        ({"keys": [KEY, {**P384, "kid": "k"}]}, "key 2 is not for ES256"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k"}]}, "key 1 is not for ES256"),
        ({"keys": [{**KEY, "alg": "ES384"}]}, "key 1 is not for ES256"),
        ({"keys": [PUBLIC]}, "only the public half"),
        ({"keys": [{**KEY, "kid": ""}]}, "no kid"),
        ({"keys": [{**KEY, "kid": 7}]}, "no kid"),
        ({"keys": [KEY, KEY]}, "twice"),
        ({"keys": [{**KEY, "x": NEXT_KEY["x"]}]}, "damaged"),
        ({"keys": [{**KEY, "d": 5}]}, "damaged"),
        ({"keys": [{k: v for k, v in KEY.items() if k != "y"}]}, "damaged"),
    ],
)
def test_a_bad_key_set_is_refused_with_the_fix_and_without_the_key(
    tmp_path: Path, document: object, fix: str
) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(ValueError, match=fix) as raised:
        load_keys(written(tmp_path, text))
    assert KEY["d"] not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def assertion(key: Jwk = KEY) -> jwt.Token:
    private = ECKey.import_key(key)
    text = client_assertion(
        key["kid"], private, client_id="https://a.net/c", audience="https://b.net", now=NOW
    )
    return jwt.decode(text, ECKey.import_key(private.as_dict(private=False)), algorithms=["ES256"])


def test_an_assertion_is_back_dated_and_short_lived() -> None:
    token = assertion()
    assert token.header == {"alg": "ES256", "kid": KEY["kid"]}
    assert token.claims["iss"] == token.claims["sub"] == "https://a.net/c"
    assert token.claims["aud"] == "https://b.net"
    assert token.claims["iat"] == int(NOW) - 5
    assert token.claims["exp"] == token.claims["iat"] + 60


def test_no_two_assertions_have_the_same_jti() -> None:
    assert len({assertion().claims["jti"] for _ in range(20)}) == 20
