"""The check: Caddy's question about every request, and its answer. The hot path, from memory only.

Not here: who brings a request (sessions/), the rules (access/), reading the headers (request/).
From outside: `check.Check`, `refusals.Refusals`, `tally.Tally`.
"""
