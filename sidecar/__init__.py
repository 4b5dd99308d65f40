"""ATProto sign-in for any app behind Caddy's `forward_auth`."""

__version__ = "0.1.0"
