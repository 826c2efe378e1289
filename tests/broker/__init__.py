"""Tests of the front end for the message broker."""
