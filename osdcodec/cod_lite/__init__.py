"""Profile cod-lite: the networks of CoD-Lite (Jia et al., 2026, arXiv 2604.12525) around the .osd file.

picture (W, H)  ──encoder, 1/d──▶  features (D, h, w)  ──nearest of V entries──▶  indices (h, w)  ──▶  .osd
.osd  ──▶  indices  ──entries, condition decoder──▶  condition (C, H/16, W/16)  ──trunk──▶  ──pixels──▶  picture

    sizes.py       a model's sizes, and its networks as lists of layers: what all the others read
    networks.py    the layers in torch
    graphs.py      each layer as an ONNX graph, for an installation without torch
    checkpoint.py  a public checkpoint -> a weights file
    bands.py       the layers over a picture of any size, by bands of rows, with the statistics of the whole picture
    coder.py       pictures <-> files

Written from the paper and from the layer shapes, order and names of the authors' public code.
"""
