"""The command-line programs: `commander` (``mtmount-commander``) and `journal` (``mtmount-journal``).

They use the library as any other program does, and know nothing of the bridge or the simulator.
"""
