"""The generations of the mount's protocol, one folder each: the messages, and their layout in bytes.

Pure: no Twisted, no I/O. Next to read: `dialect`, then ``tma2020.commands``.
"""
