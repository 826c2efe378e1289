"""The configuration of the daemon: TOML text to values, with one line for each fault.

`settings` declares every key, `tables` turns TOML tables into these values, `loading` reads a file, and
`preflight` compares the result with the machine. `loading` reads one file and looks up no host; only
`preflight` touches the machine. Next to read: ``docs/reference/configuration.rst``.
"""
