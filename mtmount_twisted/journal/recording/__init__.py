"""Recordings of telemetry and of the mount's events: MCAP files, one for an hour.

* `files`: the layout of a file; `tail`: the last seconds of an unfinished one; `recovery`: its end.
* `recorder`: the reactor's side and the thread that writes; `retention`: which files are deleted.
* `index` and `signals`: reading; `thinning`: many samples as a few bins.

``docs/reference/recordings.rst`` describes the files.
"""
