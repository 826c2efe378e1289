"""The programs that people type: `commander` (``mtmount-commander``) and `journal` (``mtmount-journal``).

They use the library as any other program would, and know nothing of the bridge or the simulator.
"""
