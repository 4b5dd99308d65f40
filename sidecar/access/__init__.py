"""Who may pass, and what the app learns about them. Pure, as a rule of the folder: no network, disk or clock.

Not here: whether a session or a handle is still good (sessions/), what a refused person sees (check/).
From outside: every file.
"""
