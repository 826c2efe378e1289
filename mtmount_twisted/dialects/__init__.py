"""The generations of the mount's protocol, a folder each: messages, and how their bytes are read and written.

Pure: no Twisted, no I/O.
"""
