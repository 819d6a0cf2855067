"""osdc in other programs: Pillow, and the file managers of Linux desktops."""
