"""Mutations: change the decisions in the code one by one, and see which change no test notices."""
