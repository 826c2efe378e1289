"""The front end for the message broker: a child process that speaks to it, and its supervision.

The daemon imports nothing of the broker. The child (``mtmount_twisted.station``) follows the journal's file
by itself; the daemon only says how far the file goes, and asks for a sign of life. Next to read: `service`,
which the daemon starts; `words`, the lines between the two.
"""
