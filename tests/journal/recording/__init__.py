"""Tests of ``mtmount_twisted.journal.recording``."""
