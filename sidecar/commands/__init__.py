"""What an operator types: the `sidecar` command and the work behind each of its subcommands.

Not here: serving itself (process/), rules about settings (config_file/).
From outside: `cli.main` only.
"""
