"""osdc: photographs at 0.02 to 0.12 bits per pixel, brought back by one diffusion step.

>>> import osdcodec
>>> data = osdcodec.encode(picture, lmbda=1.0)
>>> picture = osdcodec.decode(data)
"""
