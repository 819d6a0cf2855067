"""osdc in other programs: Pillow."""
