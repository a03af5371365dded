"""Keeps files, journals and locks in a folder."""
