"""A visitor of our own pages: their session, their address, their form, and how much they may ask.

Not here: the check's visitors, which are read from memory (check/, sessions/bearers.py).
From outside: every file.
"""
