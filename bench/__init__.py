"""The benchmark: `python -m bench`, `python -m bench --quick`. Needs Linux: CPU time and memory come from
/proc.

Servers that stand side by side answer the very request that Caddy sends, in turns, in one run. Nothing of
`sidecar` imports from here.
"""
