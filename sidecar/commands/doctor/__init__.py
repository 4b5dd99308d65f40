"""`sidecar doctor`: does the deployment work, as others see it? One file for each place that it looks at.

Not here: faults of the configuration alone (config_file/).
From outside: `examine.examine`.
"""
