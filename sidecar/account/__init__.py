"""The pages of a person who is signed in: their profile, and signing out.

Not here: signing in (signin/).
From outside: `profile.Profile`, `logout.Logout`.
"""
