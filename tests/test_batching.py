import threading
import time

import numpy as np
import pytest

from osdcodec.runtime.batching import ELEMENTS, LARGEST, Batching


class Network:
    """Doubles its input; the first call waits for `go`, so that the others must queue."""

    def __init__(self) -> None:
        self.shapes, self.begun, self.go = [], threading.Event(), threading.Event()

    def __call__(self, name: str, x: np.ndarray) -> list[np.ndarray]:
        self.shapes.append((name, x.shape))
        self.begun.set()
        assert self.go.wait(30)
        if name == "fails":
            raise MemoryError("too much")
        return [2 * x, x.sum((1, 2))]


def together(network: Network, calls: list[tuple[str, np.ndarray]], alone: bool = False) -> list:
    """What each call gives, all of them from threads of their own while another call holds the networks."""
    batching, results = Batching(), [None] * len(calls)

    def call(index: int) -> None:
        try:
            results[index] = batching.run(network, *calls[index], alone=alone)
        except MemoryError as error:
            results[index] = error

    first = threading.Thread(target=batching.run, args=(network, "first", np.zeros((1, 1, 1))))
    first.start()
    assert network.begun.wait(30)
    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    while len(batching.waiting) < len(calls):
        time.sleep(0.01)
    network.go.set()
    for thread in [first, *threads]:
        thread.join(30)
    return results


def test_calls_that_wait_for_the_same_go_together():
    network, arrays = Network(), [np.full((1, 3, 4), float(i)) for i in range(5)]
    results = together(network, [("verb", array) for array in arrays])
    assert network.shapes == [("first", (1, 1, 1)), ("verb", (5, 3, 4))]
    for array, (doubled, total) in zip(arrays, results, strict=True):
        assert np.array_equal(doubled, 2 * array) and np.array_equal(total, array.sum((1, 2)))


def test_other_sizes_types_and_verbs_go_by_themselves():
    network, small, large = Network(), np.ones((1, 2, 2)), np.ones((1, 4, 4))
    together(network, [("a", small), ("a", large), ("b", small), ("a", small.astype(np.float32)), ("a", small)])
    assert sorted(shape for _, shape in network.shapes[1:]) == [(1, 2, 2), (1, 2, 2), (1, 4, 4), (2, 2, 2)]


def test_batches_are_bounded():
    network, count = Network(), LARGEST + 3
    together(network, [("verb", np.ones((1, 2, 2)))] * count)
    assert [shape[0] for _, shape in network.shapes[1:]] == [LARGEST, 3]
    network = Network()
    together(network, [("verb", np.ones((1, ELEMENTS // 2, 2), np.uint8))] * 2)
    assert [shape[0] for _, shape in network.shapes[1:]] == [1, 1]


def test_what_is_to_go_alone_does():
    network = Network()
    together(network, [("verb", np.ones((1, 2, 2)))] * 3, alone=True)
    assert [shape[0] for _, shape in network.shapes[1:]] == [1, 1, 1]


def test_an_error_reaches_all_who_wait_and_the_next_call_works():
    results = together(Network(), [("fails", np.ones((1, 2, 2)))] * 2)
    assert all(isinstance(result, MemoryError) for result in results)
    network, batching = Network(), Batching()
    network.go.set()
    with pytest.raises(MemoryError):
        batching.run(network, "fails", np.ones((1, 1, 1)))
    assert np.array_equal(batching.run(network, "verb", np.ones((1, 1, 1)))[0], 2 * np.ones((1, 1, 1)))
