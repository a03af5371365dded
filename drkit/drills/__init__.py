"""Loses a region of the embedded Azure and walks the whole way back."""
