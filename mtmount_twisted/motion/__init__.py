"""Numbers about the motion of the mount: pure functions and values, no I/O, no clock, no dialect.

`sky` (where the mount points), `following` (how well an axis follows), `slews` (how well a slew went),
`limits` (how long until a limit) and `words` (one word for the state of both axes). Azimuth and elevation are
deg, azimuth from north over east and not folded: its 540 deg are -270 to 270 (protocol-tma2022.rst, "The
motion of the mount"). Errors are arcsec. Times are TAI or UTC seconds since the unix epoch; each docstring
says which. Next to read: `present`, the motion at one moment.
"""
