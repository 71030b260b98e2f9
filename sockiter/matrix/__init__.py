"""The matrix: targets by hazards, its cells worked out side by side, and its page."""
