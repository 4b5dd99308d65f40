"""The words for what goes wrong between us and other people's servers.

Owns: one entry for each error of atproto/errors.py that people meet, and the shape of such an entry.
Doesn't belong here: errors of our own side, and which words an error gets (words.py).
"""

from typing import Literal, NamedTuple

from sidecar.atproto import errors as atproto

# Which button the page offers. other_account: a new sign-in, or one with another account.
Action = Literal["try_again", "retype", "start_again", "other_account", "home", "none"]


class Words(NamedTuple):
    """Title and message of a page. The message says what happened, whose fault it is, and what to do now."""

    status: int
    title: str
    message: str
    action: Action = "start_again"


WORDS: dict[type[BaseException], Words] = {
    # what was typed
    atproto.InvalidIdentifier: Words(
        400,
        "This isn't a handle",
        "What you typed can't be read as the name of an account. There may be a typing mistake in it. "
        "Type a handle like alice.bsky.social, a DID, or the address of your server.",
        "retype",
    ),
    # who that is
    atproto.HandleNotFound: Words(
        404,
        "Handle not found",
        "No account has the handle that you typed. There may be a typing mistake in it. "
        "Check the spelling: a handle has a dot in it, like alice.bsky.social.",
        "retype",
    ),
    atproto.HandleMismatch: Words(
        409,
        "Handle doesn't match its account",
        "The handle points to an account, but that account doesn't name the handle. "
        "The mistake is in the settings of the account, not on this site. "
        "If it is yours, set the handle there again, or sign in with your DID.",
        "retype",
    ),
    atproto.DidNotFound: Words(
        404,
        "Account gone",
        "This account's identity no longer exists, or was never registered. Nothing is wrong with this site. "
        "Check what you typed, or use another account.",
        "retype",
    ),
    atproto.UnsupportedDidMethod: Words(
        400,
        "Unknown kind of DID",
        "You typed a DID of a kind that this site doesn't know. Only did:plc and did:web can sign in. "
        "Type your handle instead.",
        "retype",
    ),
    atproto.IdentityError: Words(
        502,
        "Account can't be read",
        "The account's public record names no server that we could ask. "
        "The mistake is in that record, not on this site. "
        "Check what you typed; if it is right, ask the people who run your account's server.",
        "retype",
    ),
    # the servers
    atproto.RequestRefused: Words(
        503,
        "Your server refuses to talk to us",
        "Your server, or a filter in front of it, refuses requests from this site. You did nothing wrong. "
        "This often passes: try again in a while.",
        "try_again",
    ),
    atproto.HostNotFound: Words(
        503,
        "Server not found",
        "A server that this sign-in needs has no address right now. The fault may be in the name you typed, "
        "or at your server. Check the spelling, or try again in a moment.",
        "try_again",
    ),
    atproto.CertificateExpired: Words(
        503,
        "Your server's certificate has expired",
        "So this site can't be sure which server answers. The fault is at that server; your account is fine. "
        "Its operator has to renew the certificate. Try again when that is done.",
        "try_again",
    ),
    atproto.CertificateForAnotherName: Words(
        503,
        "Your server's certificate is for another name",
        "So this site can't be sure which server answers. There may be a typing mistake in the name, or "
        "the fault is at that server. Check the spelling. If it is right, the server's operator has to get "
        "a certificate for this name. Then try again.",
        "try_again",
    ),
    atproto.CertificateFromUnknownIssuer: Words(
        503,
        "Your server's certificate has an unknown issuer",
        "So this site can't be sure which server answers. The fault is at that server; your account is fine. "
        "Its operator has to use a certificate that the public trusts, and to send the whole chain. "
        "Then try again.",
        "try_again",
    ),
    atproto.CertificateRefused: Words(
        503,
        "Your server's certificate isn't valid",
        "So this site can't be sure which server answers. The fault is at that server; your account is fine. "
        "Its operator has to fix the certificate. Then try again. "
        "If you run this site, the log says what is wrong.",
        "try_again",
    ),
    atproto.ServerUnreachable: Words(
        503,
        "Server can't be reached",
        "A server that this sign-in needs didn't answer. The fault is there; your account is fine. "
        "Try again in a moment.",
        "try_again",
    ),
    atproto.ForbiddenAddress: Words(
        400,
        "Not a public server",
        "The account's server has an address that isn't on the public internet. "
        "This site doesn't connect to such addresses. Check what you typed, or use another account.",
    ),
    atproto.FetchError: Words(
        502,
        "Answer that can't be used",
        "A server that this sign-in needs gave an answer that we can't use. "
        "The fault is at that server, not on this site. "
        "Start again; if that fails too, tell the people who run your server.",
    ),
    # the protocol
    atproto.InvalidServerMetadata: Words(
        502,
        "Your server can't be used here",
        "Your server breaks a rule that every sign-in needs. The fault is at your server, not on this site. "
        "Tell the people who run it, or use an account on another server.",
    ),
    atproto.ClientRefused: Words(
        502,
        "Your server refuses this site",
        "Your server doesn't accept this site as a place to sign in to. "
        "The fault is most often on this site. "
        "Try again later. If you run this site, `sidecar doctor` says what to do.",
    ),
    atproto.AuthorizationRefused: Words(
        502,
        "Your server said no",
        "Your server refused to go on with the sign-in. The reason is known there, not on this site. "
        "Start again; if that fails too, ask the people who run your server.",
    ),
    atproto.AccessDenied: Words(
        403,
        "Sign-in was declined",
        "Your server says that the sign-in was declined, by you or by its own rules. Nothing was shared. "
        "Start again, or use another account.",
        "other_account",
    ),
    atproto.WrongAccount: Words(
        403,
        "This was another account",
        "At your server you signed in with another account than the one you typed here. "
        "So nobody was signed in on this site. Start again with the account you want.",
        "other_account",
    ),
    atproto.IssuerMismatch: Words(
        403,
        "The wrong server answered",
        "The answer came from a server that doesn't speak for this account. "
        "The fault is at that server, or your account has just moved. Start again.",
    ),
    atproto.InvalidCallback: Words(
        400,
        "This link is incomplete",
        "The answer from your server arrived damaged. Your server sent it so, or the link was cut. "
        "Start again.",
    ),
    atproto.OAuthError: Words(
        502,
        "Your server gave a wrong answer",
        "The sign-in couldn't be finished, because your server's answer breaks a rule. "
        "The fault is at your server, not on this site. Start again.",
    ),
}
# What was typed, as it was read: the page shows it, so that a slip can be seen.
READ: dict[str, str] = {
    "word": "We read “{}”. It has no dot: write the whole handle.",
    "handle": "We read “{}” as a handle, but a handle isn't spelled so.",
    "did": "We read “{}” as a DID, but it isn't complete.",
    "email": "We read “{}” as an e-mail address. This site needs your handle.",
    "link": "We read “{}” as a link, but it doesn't lead to a person's profile or to a server.",
}
