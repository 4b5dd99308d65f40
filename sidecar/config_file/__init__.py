"""The file that an operator writes: read with the environment, checked for contradictions, and its example.

Not here: what can be set, and how one value is written (settings/).
From outside: every file.
"""
