"""Tests of the child process that speaks to the broker."""
