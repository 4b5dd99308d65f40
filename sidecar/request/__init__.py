"""The request that Caddy asks about, and the way back to it. Pure, as a rule of the folder: no
network, disk or clock.

Not here: requests to our own pages (visit/).
From outside: every file.
"""
