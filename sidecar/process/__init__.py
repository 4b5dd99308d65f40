"""What starts and runs the process: the socket, uvicorn, its workers, the end.

Not here: what is served (app.py).
From outside: `serve.serve`, `listening`.
"""
