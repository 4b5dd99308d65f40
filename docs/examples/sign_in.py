# /// script
# requires-python = ">=3.11"
# dependencies = ["atproto-sidecar"]
# ///
"""Who are you? A sign-in on the command line, with nothing but `sidecar.atproto`.

    python docs/examples/sign_in.py alice.example.net

Takes a handle, a DID or the address of a server; opens your browser there; prints who came back.
"""

import asyncio
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlsplit

from sidecar.atproto import (
    AtprotoError,
    Directory,
    Fetcher,
    Identity,
    OAuthClient,
    SignInFailed,
    loopback_client,
    parse_identifier,
)

Params = list[tuple[str, str]]


async def sign_in(
    identifier: str, fetcher: Fetcher, directory: Directory, open_browser: Callable[[str], object]
) -> Identity:
    """Raises AtprotoError, whose `code` says what went wrong."""
    async with callback() as (redirect_uri, came_back):
        client = OAuthClient(loopback_client(redirect_uri), directory, fetcher)
        pending, url = await client.start(parse_identifier(identifier))
        open_browser(url)
        try:
            signed_in = await client.finish(pending, await came_back)
        except SignInFailed as failure:
            await client.revoke(failure.grant)
            raise failure.error from failure
    await client.revoke(signed_in.grant)  # we wanted to know who, and nothing more
    return signed_in.identity


@asynccontextmanager
async def callback() -> AsyncIterator[tuple[str, "asyncio.Future[Params]"]]:
    """A web server on loopback: its address, and the query that the browser brings back there."""
    came_back: asyncio.Future[Params] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # browsers open connections that they may never use
            target = urlsplit((await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split(" ")[1])
            found = target.path == "/callback"
            status = "200 OK" if found else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\nBack to the terminal.".encode())
            await writer.drain()
            if found and not came_back.done():
                came_back.set_result(parse_qsl(target.query, keep_blank_values=True))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/callback", came_back
    finally:
        server.close()  # without `wait_closed`, which waits for unused connections too


async def main(identifier: str) -> None:
    fetcher = Fetcher(user_agent="sign-in-example/1")
    try:
        identity = await sign_in(identifier, fetcher, Directory(fetcher), webbrowser.open)
    except AtprotoError as error:
        sys.exit(f"{error.code}: {error}")
    finally:
        await fetcher.aclose()
    print(f"{identity.handle or 'handle.invalid'} ({identity.did}) at {identity.pds}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
