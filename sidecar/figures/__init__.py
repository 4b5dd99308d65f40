"""Numbers that the process counts about itself.

Not here: how they are shown (process/metrics.py), the check's refusals in the log (check/tally.py).
From outside: `counters.Counters`, `counters.Snapshot`.
"""
