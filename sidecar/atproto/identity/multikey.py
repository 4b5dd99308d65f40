"""The public keys of DID documents, all brought to one spelling, Multikey (base58btc of a multicodec key).

Owns: reading Multikey, and the older `EcdsaSecp…VerificationKey2019`, which carry a bare, often uncompressed
point.
Doesn't belong here: signatures.
"""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SECP256K1 = b"\xe7\x01"  # multicodec table: secp256k1-pub, as a varint
_P256 = b"\x80\x24"  # p256-pub
_LEGACY = {
    "EcdsaSecp256k1VerificationKey2019": _SECP256K1,
    "EcdsaSecp256r1VerificationKey2019": _P256,
}
_MAX_LENGTH = 128


def to_multikey(kind: str, multibase: str) -> str | None:
    """The key as a Multikey; None if we don't know the type or can't read the value."""
    if not multibase.startswith("z") or len(multibase) > _MAX_LENGTH:
        return None
    try:
        raw = from_base58(multibase[1:])
    except ValueError:
        return None
    if kind == "Multikey":
        codec, point = raw[:2], raw[2:]
    elif kind in _LEGACY:
        codec, point = _LEGACY[kind], _compress(raw)
    else:
        return None
    if codec not in (_SECP256K1, _P256) or len(point) != 33 or point[0] not in (2, 3):
        return None
    return "z" + to_base58(codec + point)


def _compress(point: bytes) -> bytes:
    """SEC 1, section 2.3.3: x and the parity of y."""
    if len(point) == 65 and point[0] == 4:
        return bytes([2 + (point[64] & 1)]) + point[1:33]
    return point


def from_base58(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def to_base58(data: bytes) -> str:
    """Of multicodec-prefixed keys only: their first byte is never zero."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return text
