"""A DNS server that knows the TXT records it is given and nothing else: everything else doesn't exist."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@asynccontextmanager
async def serving(texts: Mapping[str, str]) -> AsyncIterator[int]:
    """Serve `texts`, name → TXT, over UDP on loopback; yields the port."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(texts), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        name, kind = query.question[0].name, query.question[0].rdtype
        text = self._texts.get(name.to_text(omit_final_dot=True))
        if text is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif kind == dns.rdatatype.TXT:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", f'"{text}"'))
        self._transport.sendto(answer.to_wire(), addr)  # type: ignore[attr-defined]  # a datagram transport
