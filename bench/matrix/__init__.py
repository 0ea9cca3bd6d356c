"""Matrices: crash points, broken systems and guarantees, swept cell by cell into one table, one file and one page."""
