"""The bridge: shares the mount's one connection pair among those who command it.

Start at `service`, which puts the parts together; `core` decides.
"""
