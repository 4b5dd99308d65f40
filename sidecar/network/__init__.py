"""What we ask of other people's servers: sign-ins, handles, profiles. Loaded when the first question comes.

Not here: the protocol and the guard (atproto/), the rooms that ask (signin/, account/, sessions/reverify.py).
From outside: `network.Network`, `identity.client`.
"""
