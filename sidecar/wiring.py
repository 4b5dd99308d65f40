"""Which part gets which: everything that follows from one set of inputs.

Owns: the making of the gate and all that is behind it. A reload makes it once more (app.py).
Doesn't belong here: what lasts as long as the process (app.py), behaviour.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sidecar import routes
from sidecar.access.policy import Policy
from sidecar.account.logout import Logout
from sidecar.account.profile import Profile
from sidecar.atproto.oauth.models import Client
from sidecar.check.check import Check
from sidecar.check.refusals import Refusals
from sidecar.check.tally import Tally
from sidecar.config_file.inputs import Inputs
from sidecar.entrance.gate import Gate
from sidecar.entrance.machines import Machines
from sidecar.network.network import Network
from sidecar.replies.pages import Pages
from sidecar.request.return_to import Destinations
from sidecar.sessions.bearers import Bearers
from sidecar.sessions.cookie import Sessions
from sidecar.sessions.feed import Feed
from sidecar.settings import Settings
from sidecar.signin.callback import Callback
from sidecar.signin.login import Login
from sidecar.signin.pending import PendingSignIns
from sidecar.store import Store
from sidecar.visit.limits import Slots
from sidecar.visit.visitors import Visitors


@dataclass(frozen=True, slots=True)
class Lasting:
    """What the process keeps through every reload. `seen`: called with each bearer's DID."""

    store: Store
    feed: Feed
    tally: Tally
    seen: Callable[[str], None]
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Wired:
    """The parts that follow from one set of inputs. All of them are exchanged together."""

    settings: Settings
    client: Client
    network: Network
    sessions: Sessions
    bearers: Bearers
    gate: Gate


def wire(given: Inputs, who: Client, network: Network, lasting: Lasting) -> Wired:
    """Raises ConfigError for a template, and ValueError for a rule, that can't be used."""
    settings, store, feed, now = given.settings, lasting.store, lasting.feed, lasting.now
    sessions = Sessions(settings)
    bearers = Bearers(settings, sessions=sessions, feed=feed)
    pages = Pages(settings, given.contents.templates)
    policy = Policy(settings.apps, settings.groups, scheme=settings.scheme)
    destinations = Destinations(settings, policy.knows)
    visitors = Visitors(settings, sessions=sessions, store=store, feed=feed, now=now)
    slots = Slots(settings.limits.concurrent_sign_ins)
    pending = PendingSignIns(store, settings.session.cookie_secrets, secure=not settings.loopback, now=now)
    refusals = Refusals(settings, pages=pages, destinations=destinations, deletions=sessions.deletions)
    check = Check(
        settings,
        policy=policy,
        sessions=sessions,
        bearers=bearers,
        refusals=refusals,
        tally=lasting.tally,
        seen=lasting.seen,
        now=now,
    )
    login = Login(
        settings,
        network=network,
        pending=pending,
        slots=slots,
        counters=lasting.tally.counters,
        visitors=visitors,
        destinations=destinations,
        pages=pages,
        now=now,
    )
    callback = Callback(
        settings,
        network=network,
        pending=pending,
        slots=slots,
        counters=lasting.tally.counters,
        sessions=sessions,
        store=store,
        feed=feed,
        visitors=visitors,
        destinations=destinations,
        pages=pages,
        now=now,
    )
    logout = Logout(settings, sessions=sessions, feed=feed, visitors=visitors, pages=pages)
    profile = Profile(
        settings,
        network=network,
        visitors=visitors,
        destinations=destinations,
        pages=pages,
    )
    machines = Machines(who, store=store, feed=feed, now=now)
    router = routes.router(settings, login, callback, logout, profile, machines)
    gate = Gate(
        settings,
        check=check,
        routes=router,
        sessions=sessions,
        pages=pages,
        destinations=destinations,
        now=now,
    )
    return Wired(settings, who, network, sessions, bearers, gate)
