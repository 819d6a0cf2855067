"""Files over links that carry short packets, slowly, and lose some: spec/packets-1.md is the normative text.

packet    one packet: bytes <-> fields
carriers  what packets travel in: files, streams, lines of text
transfer  a file -> packets, and what has arrived of them -> the file or its beginning
requests  which packets are asked for again, as a short line
airtime   how long packets take on links that people have
"""
