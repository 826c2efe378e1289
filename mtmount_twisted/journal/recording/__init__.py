"""Recordings of telemetry and of the mount's events: MCAP files, one for an hour.

* `files`: the layout of a file; `tail`: the last seconds of an unfinished one; `recovery`: its end.
* `recorder`: the reactor's side and the thread that writes; `retention`: which files are deleted.
* `digests`: all signals in pieces of 5 s, for queries of long times.
* `index` and `signals`: reading; `decoding`: lines as numbers; `derived`: the signals that are computed.
* `thinning`: many samples as a few bins.

``docs/reference/recordings.rst`` describes the files. Only threads touch the disk. Next to read: `layout`,
then `recorder`.
"""
