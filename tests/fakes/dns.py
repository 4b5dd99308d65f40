"""A small DNS server on loopback, UDP and TCP, that says what a test tells it to.

Answers by name; a name nobody set is NXDOMAIN. Answers over 512 bytes are truncated on UDP, so resolvers
come back over TCP, as in life.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.TXT
import dns.rrset

_UDP_LIMIT = 512


class Fault(Enum):
    """Instead of an answer."""

    SERVFAIL = "the server failed"
    REFUSED = "the server won't say"
    SILENCE = "no reply at all"
    GARBAGE = "a reply that is no DNS message"


@dataclass
class Alias:
    """A CNAME."""

    target: str


Strings = Sequence[str]  # one TXT record: its strings
Answer = Sequence[Strings] | Alias | Fault


@dataclass
class DnsServer:
    """`address`: "127.0.0.1:port". `queries`: (protocol, name) as they came."""

    address: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    queries: list[tuple[str, str]] = field(default_factory=list)

    def txt(self, name: str, *records: str | Strings) -> None:
        """One TXT record for each argument; a sequence is one record of several strings."""
        self.answers[name] = [[record] if isinstance(record, str) else record for record in records]

    def reply(self, wire: bytes, protocol: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        self.queries.append((protocol, name))
        response = dns.message.make_response(query, recursion_available=True)
        match self.answers.get(name):
            case Fault.SILENCE:
                return None
            case Fault.GARBAGE:
                return wire[:2] + b"\xff" * 20
            case Fault.SERVFAIL:
                response.set_rcode(dns.rcode.SERVFAIL)
            case Fault.REFUSED:
                response.set_rcode(dns.rcode.REFUSED)
            case None:
                response.set_rcode(dns.rcode.NXDOMAIN)
            case _:
                self._fill(response, name)
        answer = response.to_wire(max_size=65535)
        if protocol == "udp" and len(answer) > _UDP_LIMIT:
            response.answer.clear()
            response.flags |= dns.flags.TC
            answer = response.to_wire()
        return answer

    def _fill(self, response: dns.message.Message, name: str) -> None:
        answer = self.answers.get(name, [])
        if isinstance(answer, Alias):
            response.answer.append(dns.rrset.from_text(f"{name}.", 1, "IN", "CNAME", f"{answer.target}."))
            self._fill(response, answer.target)
        elif not isinstance(answer, Fault) and answer:
            records = [
                dns.rdtypes.ANY.TXT.TXT(
                    dns.rdataclass.IN, dns.rdatatype.TXT, [text.encode("latin-1") for text in strings]
                )
                for strings in answer
            ]
            response.answer.append(dns.rrset.from_rdata_list(f"{name}.", 1, records))


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if reply := self._server.reply(data, "udp"):
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    server = DnsServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack("!H", await reader.readexactly(2))[0]
        if reply := server.reply(await reader.readexactly(length), "tcp"):
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = tcp.sockets[0].getsockname()
    udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=(host, port))
    server.address = f"{host}:{port}"
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()
