"""Peers are entries in a file."""

from pathlib import Path

import pytest

from bench import peers
from bench.measure import verify
from bench.programs import ProgramFailedError, Programs
from bench.wire import Expected

ENTRY = """
[[peer]]
key = "mine"
name = "my own"
command = "python $folder/server.py $listen"
listen = { tcp = "$port", unix = "$socket" }
path = "/verify"
cookie = "mine=1"
expect = { status = 200, headers = { x-who = "me" }, body = "hello" }
[peer.files]
"server.py" = '''
import socket, sys
where = sys.argv[1]
if where.isdigit():
    server = socket.create_server(("127.0.0.1", int(where)))
else:
    server = socket.socket(socket.AF_UNIX); server.bind(where); server.listen()
while True:
    connection, _ = server.accept()
    while data := connection.recv(65536):
        who = b"me" if data.startswith(b"GET /verify ") and b"mine=1" in data else b"you"
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nx-who: %b\\r\\ncontent-length: 5\\r\\n\\r\\nhello" % who)
'''
"""


@pytest.fixture
def mine(tmp_path: Path) -> peers.Peer:
    file = tmp_path / "peers.toml"
    file.write_text(ENTRY)
    return peers.load(file)[0]


@pytest.mark.parametrize("transport", peers.TRANSPORTS)
def test_a_peer_is_started_and_asked_as_its_entry_says(
    mine: peers.Peer, transport: peers.Transport, tmp_path: Path
) -> None:
    request = mine.request("notes.bench.internal", "session=1")
    with Programs() as programs:
        running = peers.start(mine, transport, programs, tmp_path)
        assert verify(running.address, [(request.raw(), mine.expect)], 3) == 54
    assert not running.address.answers()


def test_a_peer_that_does_not_start_says_why(mine: peers.Peer, tmp_path: Path) -> None:
    entry = ENTRY.replace("import socket, sys", "raise SystemExit('out of order')")
    file = tmp_path / "peers.toml"
    file.write_text(entry)
    with Programs() as programs, pytest.raises(ProgramFailedError, match="out of order"):
        peers.start(peers.load(file)[0], "tcp", programs, tmp_path)


def test_a_peer_that_is_not_installed_is_known_as_such(tmp_path: Path) -> None:
    file = tmp_path / "peers.toml"
    file.write_text(ENTRY.replace('"python ', '"no-such-program-at-all '))
    assert peers.load(file)[0].program is None


def test_an_unknown_transport_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "peers.toml"
    file.write_text(ENTRY.replace("unix =", "quic ="))
    with pytest.raises(ValueError, match="mine: no transport quic"):
        peers.load(file)


def test_the_peers_that_the_bars_need_are_in_the_file() -> None:
    found = {peer.key: peer for peer in peers.load()}
    assert {"nginx", "caddy", "asgi", "starlette"} <= found.keys()
    assert all(found[key].expect.status == 200 for key in ("nginx", "caddy", "asgi", "starlette"))
    assert found["oauth2-proxy"].expect == Expected(401)
