"""The command-line programs: `commander` (``mtmount-commander``), `journal` (``mtmount-journal``) and
`telemetry` (``mtmount-telemetry``).

They use the library as any other program does, and know nothing of the bridge or the simulator. Next to read:
`commander`.
"""
