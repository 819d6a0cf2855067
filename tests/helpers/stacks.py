"""Symbols with their tables, and the bytes of one small case."""

import numpy as np

from osdcodec.entropy.rans import TOTAL, Writer

TABLES = np.array([[1, 2**24 - 2, 1], [2**23, 2**22, 2**22], [3, 5, 2**24 - 8]], np.int32)
COLUMNS = np.array([1, 0, 2, 1, 1, 0, 2, 2, 0, 1], np.int32)
ROWS = np.array([0, 1, 1, 1, 0, 2, 2, 0, 0, 1])
PAYLOAD = bytes.fromhex("00000000b606ae6ad066416105")


def random_case(seed: int, symbols: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """columns, tables, rows: any tables, from nearly flat to nearly certain, and any symbols, however unlikely."""
    random = np.random.default_rng(seed)
    count, width = random.integers(1, 9), random.choice([2, 3, 129, 1024])
    weights = random.random((count, width)) ** random.choice([1, 30, 300], (count, 1))
    tables = 1 + np.floor(weights / weights.sum(1, keepdims=True) * (TOTAL - width)).astype(np.int64)
    tables[np.arange(count), weights.argmax(1)] += TOTAL - tables.sum(1)
    rows = random.integers(0, count, symbols)
    likely = (tables[rows].cumsum(1) > random.integers(0, TOTAL, symbols)[:, None]).argmax(1)
    columns = np.where(random.random(symbols) < 0.1, random.integers(0, width, symbols), likely)
    return columns.astype(np.int32), tables.astype(np.int32), rows


def encoded(columns: np.ndarray, tables: np.ndarray, rows: np.ndarray) -> bytes:
    writer = Writer()
    writer.push(columns, tables, rows)
    return writer.to_bytes()
