"""What a request meets first: who may connect, the fast path for checks, and the answers for machines.

Not here: the check's decision (check/), the pages for people (signin/, account/).
From outside: `gate.Gate`, `fastpath.protocol`, `machines.Machines`.
"""
