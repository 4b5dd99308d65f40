"""docs/interop.md: written from rows, and read back into them, so that a run by hand replaces its own row alone."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from tests.lab import node

PAGE = node.ROOT / "docs" / "interop.md"
YES = "yes"
HEAD = (
    "server", "version", "tried", "by handle", "by DID", "by server", "nonce rotation", "key rotation", "note",
)  # fmt: skip

BEFORE = """\
# Servers that we signed in at

`make interop` writes this page. It starts each server for real, with a PLC directory, Caddy and the sidecar, and a browser
signs in. A sign-in counts as "yes" only if the app behind Caddy gets the right DID.

"""

AFTER = """
- **By handle, by DID, by server**: what the person types on the sign-in page.
- **Nonce rotation**: the server forgets its DPoP nonces while the sidecar remembers one. Locally the server is restarted, so it
  has a new nonce secret: once between two sign-ins, and once between the password and the consent.
- **Key rotation**: `sidecar keygen --add`, then `--use` at once, without the wait that `docs/configuration.md` asks for. The note
  says after how long the server took the new key. Then the old key is removed, and a sign-in must still work.

## Which servers are missing

Only releases of the reference PDS can be installed from npm, PyPI, crates.io and the Go module proxy and run on a machine without
the internet. As of 2026-11-26:

| server | why it isn't in the table |
|---|---|
| cocoon (Go) | the module proxy that we reached refuses its module |
| tranquil-pds, bluepds and rsky-pds (Rust) | they aren't on crates.io |
| pds.js and Cirrus (JavaScript) | their packages weren't found on npm |
| arroba (Python, on PyPI) | it has no OAuth authorization server |
| indigo (Go module) | it has an OAuth client, but no PDS with OAuth |
| `@atproto/pds` 0.5.0 | one package that it needs isn't in the registry that we reached |

## Try your own server

If you run such a server, or have an account on one, the same script signs in there and adds a line to the table:

```sh
make setup
INTEROP_PASSWORD=… .venv/bin/python -m tests.interop --pds https://pds.example.net --handle alice.example.net
```

- The sidecar runs on this machine as a loopback client, as in `make run`: the server needn't reach it. Such a client has no keys, so
  key rotation isn't tried. If the server gives out handles that only it knows, set `SIDECAR_IDENTITY_HANDLE_RESOLVER` to its address.
  For a server on `http://localhost`, set `SIDECAR_IDENTITY_DEVELOPMENT_SERVERS=true`; for another PLC directory,
  `SIDECAR_IDENTITY_PLC_URL`.
- To try key rotation too, give the sidecar a public name: `--public-url https://interop.example.net`. Your web server must end TLS
  for that name, and pass every request to `http://127.0.0.1:8080` with the same `Host`.
- `INTEROP_PASSWORD` is typed on the server's own page, by a browser without a window, and kept nowhere. Use a test account. If the
  browser doesn't find its way through the pages, add `--show` and click yourself.
- Nonces: `--restart 'systemctl restart my-pds'` names the command that restarts your server. Without it, the script waits 310
  seconds between two sign-ins; nonces of all servers that we know are too old then.
- `--name` and `--version` say what stands in the table. Otherwise it is the host, and what the server says at `/xrpc/_health`.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One server. A result is "yes", "no: …" or "not tried: …"."""

    server: str
    version: str
    tried: str
    by_handle: str
    by_did: str
    by_server: str
    nonces: str
    keys: str
    note: str = ""

    @property
    def faulty(self) -> bool:
        """Whether a sign-in failed."""
        return any(result.startswith("no:") for result in astuple(self)[3:8])


@dataclass(frozen=True, slots=True)
class Report:
    """`programs`: what the run used, with versions, as text."""

    programs: str
    rows: Sequence[Row]

    def with_row(self, row: Row) -> "Report":
        """With `row` in the place of that of the same server and version, or below all others."""
        same = [(each.server, each.version) == (row.server, row.version) for each in self.rows]
        if not any(same):
            return replace(self, rows=[*self.rows, row])
        rows = [row if found else each for each, found in zip(self.rows, same, strict=True)]
        return replace(self, rows=rows)


def markdown(report: Report) -> str:
    """The whole page."""
    lines = [f"With {report.programs}.", "", _line(HEAD), _line(["---"] * len(HEAD)).replace(" ", "")]
    lines += [_line(astuple(row)) for row in report.rows]
    return BEFORE + "\n".join(lines) + "\n" + AFTER


def read(text: str) -> Report:
    """The report that a page holds; ValueError if `markdown` didn't write it."""
    middle = text.removeprefix(BEFORE).removesuffix(AFTER).splitlines()
    programs = middle[0].removeprefix("With ").removesuffix(".")
    rows = [Row(*_cells(line)) for line in middle[4:] if len(_cells(line)) == len(HEAD)]
    report = Report(programs, rows)
    if markdown(report) != text:
        raise ValueError("this page isn't as `make interop` writes it; run it again")
    return report


def write(report: Report, page: Path = PAGE) -> None:
    page.write_text(markdown(report), "utf-8")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(cell: str) -> str:
    """On one line, without what ends a cell or opens HTML: a server's words may be in it."""
    visible = "".join(c if c.isprintable() else " " for c in cell)
    return " ".join(visible.translate(_MARKUP).split())


_MARKUP = str.maketrans({"|": "/", "<": "‹", ">": "›", "[": "(", "]": ")", "`": "'", "\\": "/"})


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
