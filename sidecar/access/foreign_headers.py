"""Headers by which other gates name people, and by which apps choose a page: no client may send them.

Owns: the list. Caddyfile.example strips it before every check and docs/deployment.md shows it; both are
tested against it.
Doesn't belong here: the identity headers that we send ourselves (identity_headers.py). Pure.

Written as Caddy has them: "*" at the end or the start of a name stands for anything. Caddy itself drops names
with "_" or "."; request/forwarded.py refuses what else a server could fold into one of these.
"""

IDENTITY: dict[str, str] = {
    "*Remote-*": "Authelia, tinyauth, Radicale, Kubernetes, Redash: Remote-User, X-Remote-User",
    "X-WEBAUTH-*": "Grafana, Gitea, Forgejo",
    "X-Forwarded-User": "oauth2-proxy, Jenkins",
    "X-Forwarded-Email": "oauth2-proxy, SonarQube",
    "X-Forwarded-Groups": "oauth2-proxy, Jenkins, SonarQube",
    "X-Forwarded-Preferred-Username": "oauth2-proxy",
    "X-Forwarded-Access-Token": "oauth2-proxy",
    "X-Forwarded-Login": "SonarQube",
    "X-Forwarded-Name": "SonarQube",
    "X-Auth-Request-*": "oauth2-proxy",
    "X-Auth-User*": "many: X-Auth-User, X-Auth-Username",
    "X-Otterwiki-*": "Otterwiki",
    "X-Authentik-*": "authentik",
    "X-Token-Subject": "caddy-security",
    "X-Token-User-*": "caddy-security",
    "X-Vouch-*": "Vouch Proxy",
    "X-Pomerium-Claim-*": "Pomerium",
    "*Authenticated-User*": "Cloudflare Access, Google IAP, Kong: X-Authenticated-UserId",
    "Tailscale-User-*": "Tailscale",
    "X-MS-Client-Principal*": "Azure",
    "X-Amzn-Oidc-Identity": "AWS load balancers",
    "X-Consumer-*": "Kong",
    "X-Proxy-User": "OpenSearch",
    "X-Proxy-Roles": "OpenSearch",
    "X-Userinfo": "Kong, APISIX",
    "*Client-Cert*": "RFC 9440, Envoy: X-Forwarded-Client-Cert",
    "*SSL-Client-*": "nginx and Apache with client certificates",
}
ROUTING: dict[str, str] = {
    "X-Original-*": "IIS, Symfony, Zend: the path is taken from X-Original-URL",
    "X-Rewrite-URL": "IIS, Symfony, Zend",
    "*Method-Override": "Rails, Express, ASP.NET: X-HTTP-Method-Override",
    "X-HTTP-Method": "ASP.NET, OData",
    "X-Script-Name": "Calibre-Web and other WSGI apps: a prefix cut off the path",
    "X-Forwarded-Prefix": "Werkzeug, Spring: the same",
}
STRIPPED: tuple[str, ...] = (*IDENTITY, *ROUTING)

_EXACT = frozenset(name.lower().encode() for name in STRIPPED if "*" not in name)
_BEGINS = tuple(name[:-1].lower().encode() for name in STRIPPED if name.endswith("*") and name[0] != "*")
_CONTAINS = tuple(name.strip("*").lower().encode() for name in STRIPPED if name[0] == name[-1] == "*")
_ENDS = tuple(name[1:].lower().encode() for name in STRIPPED if name[0] == "*" and name[-1] != "*")


def is_stripped(name: bytes) -> bool:
    """Whether Caddy strips a header of this name. `name`: in lower case."""
    return (
        name in _EXACT
        or name.startswith(_BEGINS)
        or name.endswith(_ENDS)
        or any(part in name for part in _CONTAINS)
    )
