"""Training of the map of trust (osdcodec/trust): decoded photographs, a small network, and its graph.

`python -m osdcodec.training.trust --data DATA --out FOLDER` runs it; osdcodec/trust/README.md says what comes out.
"""
