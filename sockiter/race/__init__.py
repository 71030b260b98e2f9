"""Races: walks and changes at the same time, in two processes, judged by intervals of time."""
