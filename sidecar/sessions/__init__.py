"""Who is signed in: the cookie, what the store's feed says of sign-outs and handles, who brings a request.

Not here: who may pass (access/), how somebody signs in (signin/).
From outside: every file.
"""
