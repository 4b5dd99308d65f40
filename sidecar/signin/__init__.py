"""A person signing in: the page, the way to their server, what comes back, and the attempt in between.

Not here: the OAuth protocol (atproto/), the session that follows (sessions/), signing out (account/).
From outside: `login.Login`, `callback.Callback`, `pending.PendingSignIns`.
"""
