"""A small shop with mistakes in it, for the labelled corpus."""
