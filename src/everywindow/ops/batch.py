"""The batch size that shapes are recorded with."""

BATCH = 10007
"""A large prime: a dimension that holds the batch is recognised by divisibility, and a literal size is never
mistaken for it."""
