"""What the doctor checks elsewhere: clocks, the PLC directory, DNS.

Doesn't belong here: our own sites (public_host.py, apps.py).
"""

from sidecar.atproto.oauth.clock import BACKDATED, seconds_ahead
from sidecar.commands.doctor.findings import Finding, Findings, fail, ok, warn
from sidecar.commands.doctor.probes import Outside
from sidecar.settings import Settings

PUBLIC_PLC = "https://plc.directory"

_KNOWN_HANDLE = "_atproto.bsky.app"  # any name with a record would do
_CLOCK_WARN = 2.0  # seconds; BACKDATED is where sign-ins begin to fail


def clocks(settings: Settings, world: Outside) -> Findings:
    """Sign-ins fail if our clock is ahead of the servers'."""
    for url in (settings.identity.plc_url, settings.public_url):
        yield _clock(url, world)


def _clock(url: str, world: Outside) -> Finding:
    try:
        answer = world.get(f"{url}/")
        asked, date = answer.received - answer.seconds, answer.headers.get("date", "")
        ahead = seconds_ahead(date, asked=asked, answered=answer.received)
    except (OSError, ValueError) as error:  # another check reports a server that is down
        seen = f"{url} doesn't say what time it is ({error})"
        return warn(
            "clock",
            seen,
            cause="it didn't answer, or without a date",
            fix="see that ours is right: timedatectl",
        )
    off, side = abs(ahead), "ahead of" if ahead > 0 else "behind" if ahead < 0 else "from"
    seen = f"{off:.0f} s {side} that of {url}"
    if off <= _CLOCK_WARN:
        return ok("clock", seen)
    report = fail if off > BACKDATED else warn
    cause = "a clock that nothing keeps right; sign-ins fail when clocks differ"
    return report("clock", seen, cause=cause, fix="start a time service (NTP), and see: timedatectl")


def plc(settings: Settings, world: Outside) -> Findings:
    """It answers, and nobody on the way can change what it says."""
    url = settings.identity.plc_url
    answer = world.get(f"{url}/_health")
    if answer.status == 200:
        yield ok("PLC directory", f"{url} is well")
    else:
        yield fail(
            "PLC directory",
            f"{url} answers {answer.status} to /_health, not 200",
            cause="it is down, or identity.plc_url names something else",
            fix="try again later; if the status stays, correct identity.plc_url",
        )
    if url != PUBLIC_PLC and not url.startswith("https://"):
        yield warn(
            "PLC directory",
            f"{url} is neither https nor the public directory",
            cause="identity.plc_url is set to a directory for tests",
            fix="use https: the directory decides who everyone is",
        )


def private_servers(settings: Settings, world: Outside) -> Findings:
    """Servers of the operator's own that strangers may make us ask."""
    for origin in settings.identity.private_servers:
        url = f"{origin}/.well-known/oauth-protected-resource"
        answer = world.get(url)
        if answer.status == 200:
            yield ok("own server", f"{origin} answers; anyone who names it makes the sidecar ask it")
        else:
            yield fail(
                "own server",
                f"{url} answers {answer.status}, not 200",
                cause="it isn't a PDS, or identity.private_servers names another host",
                fix="name the PDS's own address, or take it out of identity.private_servers",
            )


def dns(settings: Settings, world: Outside) -> Findings:
    """Handles are found by TXT records."""
    identity = settings.identity
    if identity.handle_resolver:
        yield ok("DNS", f"not used; {identity.handle_resolver} is asked for handles")
    elif any(text.startswith("did=") for text in world.txt(_KNOWN_HANDLE, identity.nameservers)):
        yield ok("DNS", f"TXT records of {_KNOWN_HANDLE} come")
    else:
        yield fail(
            "DNS",
            f"no TXT record of {_KNOWN_HANDLE} comes",
            cause="the DNS servers of this machine don't pass TXT records on",
            fix="set identity.nameservers to servers that do, or set identity.handle_resolver",
        )
