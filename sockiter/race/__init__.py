"""Races: walks and changes at the same time, in two processes, judged by what is certain."""
