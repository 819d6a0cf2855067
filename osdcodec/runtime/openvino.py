"""The four verbs through OpenVINO, in half precision where the processor has it. Never imports torch.

`compile_graph` takes any ONNX graph whose tensors lie outside of it.
"""

import functools
import hashlib
import io
import os
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np

from .. import cache
from ..weights import Weights
from .graphs import GRADIENTS, GraphRuntime, memory_errors
from .onnx_inputs import external_as_inputs

PRECISIONS = {"float": "f32", "bf16": "bf16", "int8": "f32"}  # int8 is in the graphs: see weights/int8.py
_IMPORTING = Lock()


@functools.cache
def _core() -> Any:
    return _openvino().Core()


def _openvino() -> Any:
    """Imports OpenVINO when a graph is opened, in the thread that opens it.

    Its converter of models is left out, which takes half of the time and imports a package of telemetry.
    """
    converter = "openvino.tools.ovc"
    with _IMPORTING:
        left_out = "openvino" not in sys.modules and converter not in sys.modules
        if left_out:
            sys.modules[converter] = None  # type: ignore[assignment]  # an ImportError, which OpenVINO handles
        try:
            import openvino
        finally:
            if left_out:
                del sys.modules[converter]
    return openvino


def devices() -> list[str]:
    """OpenVINO's names of the devices that it sees."""
    return list(_core().available_devices)


class Graph:
    """A compiled graph. It can be called from several threads: more calls than it has streams wait for each other."""

    def __init__(self, compiled: Any, kept: Any = None) -> None:
        self.compiled, self.kept = compiled, kept  # kept: the memory that constants may lie in
        self.idle: list[Any] = []
        self.lock = Lock()

    def __call__(self, **inputs: np.ndarray) -> list[np.ndarray]:
        """Runs the graph on arrays by the names of its inputs, and returns copies of its outputs in their order.

        Raises:
            MemoryError: There is too little memory for inputs of this size.
        """
        with self.lock:
            request = self.idle.pop() if self.idle else self.compiled.create_infer_request()
        given = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        with memory_errors():
            found = request.infer(given, share_inputs=True)
        with self.lock:
            self.idle.append(request)
        return list(found.values())


def compile_graph(
    graph: bytes,
    tensors: Mapping[str, np.ndarray],
    precision: str = "float",
    threads: int = 0,
    device: str = "CPU",
    key: str = "",
    streams: int = 1,
    sizes: Mapping[str, tuple[int, ...]] | None = None,
) -> Graph:
    """Makes an ONNX graph ready to run.

    Args:
        graph: A serialised ModelProto. Initialisers that it holds no data for are looked up by name.
        tensors: Arrays by name, float32 but for kernels in int8. Nothing is taken from them if the compiled graph is in the cache.
        precision: "float", "bf16" or "int8", in which products are computed, the last as the graph says; inputs and outputs have the types of the graph.
        threads: Threads on a CPU; 0 takes those that the process may use.
        device: OpenVINO's name of the device: CPU, GPU or NPU.
        streams: Calls that run at the same time, each on so many threads.
        sizes: Shapes of the inputs, if all calls have the same. Operators of a gradient are joined only then, by which one
            takes two thirds of the time.
        key: Tells apart tensors of the same names, such as a hash of the file they come from. If it is empty, nothing is
            kept in the cache.

    Returns:
        The graph, to be called with arrays.

    Raises:
        ValueError: The graph cannot be read.
        RuntimeError: OpenVINO cannot compile it.
    """
    config = _config(precision, threads, device, streams)
    name = (
        "openvino", _openvino().__version__, device, precision, _processor(), hashlib.sha256(graph).hexdigest(), key,
        str(sorted((sizes or {}).items())),
    )  # fmt: skip
    blob = cache.read(*name) if key else None
    if blob is not None:
        try:
            kept = _openvino().Tensor(np.frombuffer(blob, np.uint8), shared_memory=True)
            return Graph(_core().import_model(kept, device, config), kept)
        except RuntimeError:  # of another build with the same version
            pass
    model = read_graph(graph, tensors)
    if precision not in ("float", "int8"):  # scales keep their precision
        _halve(model)
    if sizes:
        model.reshape({name: list(shape) for name, shape in sizes.items()})
    compiled = _core().compile_model(model, device, config)
    if key and cache.folder() is not None:
        _WRITER.submit(_keep, compiled, name)
    return Graph(compiled)


def read_graph(graph: bytes, tensors: Mapping[str, np.ndarray]) -> Any:
    """An ONNX graph as a model of OpenVINO, with constants in place of the tensors that it only names."""
    completed, names = external_as_inputs(graph)
    model = _core().read_model(io.BytesIO(completed))
    wanted, constant = set(names), _openvino().opset13.constant
    for parameter in model.get_parameters():
        name = parameter.get_friendly_name()
        if name in wanted:
            array = np.ascontiguousarray(tensors[name])
            parameter.output(0).replace(constant(array, shared_memory=True).output(0))
            model.remove_parameter(parameter)
    return model


def _halve(model: Any) -> None:
    """Stores constants in float16, by which an entry of the cache needs half the bytes. bfloat16 holds less of them anyway."""
    try:
        from openvino._offline_transformations import compress_model_transformation
    except ImportError:  # of a version that has it elsewhere
        return
    compress_model_transformation(model)


_WRITER = ThreadPoolExecutor(1)  # writes to the cache while networks run; a process ends when it is done


def _keep(compiled: Any, name: tuple[str, ...]) -> None:
    try:
        blob = io.BytesIO()
        compiled.export_model(blob)
    except RuntimeError:  # a device that cannot
        return
    cache.write(blob.getbuffer(), *name)


def _config(precision: str, threads: int, device: str, streams: int) -> dict[str, Any]:
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device != "CPU":
        return config
    config |= {
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "ENABLE_CPU_PINNING": False,  # else two processes share one core while another is free
    }
    if threads or usable() < (os.cpu_count() or 1):
        config["INFERENCE_NUM_THREADS"] = threads * streams or usable()
    return config


def usable() -> int:
    """Cores that the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """What compiled graphs depend on beside the version."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = ""
    name = f"{_core().get_property('CPU', 'FULL_DEVICE_NAME')} {flags} {os.environ.get('ONEDNN_MAX_CPU_ISA', '')}"
    return hashlib.sha256(name.encode()).hexdigest()


class OpenVinoRuntime(GraphRuntime[Graph]):
    """Runs the graphs of a weights file.

    Args:
        weights: The model.
        threads: Threads for one picture, as `GraphRuntime` describes them.
        precision: "float", "bf16" or "int8".
        device: OpenVINO's name of the device.
    """

    def __init__(
        self, weights: Weights, threads: int | None = None, precision: str = "float", device: str = "CPU"
    ) -> None:
        super().__init__(weights, threads)
        self.precision, self.device = precision, device
        # Pictures that are worked on at the same time share the cores.
        self.streams = max(1, usable() // threads) if threads else 1
        # Verb and sizes of the last gradient, and the graph that is made for them.
        self.fitted: tuple[tuple[object, ...], Future[Graph]] | None = None

    def run(self, verb: str, **inputs: np.ndarray) -> list[np.ndarray]:
        return (self._fitted(verb, inputs).result() if verb in GRADIENTS else self.opened(verb))(**inputs)

    def fit(self, verb: str, **inputs: np.ndarray) -> None:
        self._fitted(verb, inputs)

    def preload(self, *verbs: str) -> None:
        super().preload(*(verb for verb in verbs if verb not in GRADIENTS))

    def open(self, verb: str) -> Graph:
        return self._compiled(verb)

    def _fitted(self, verb: str, inputs: Mapping[str, np.ndarray]) -> Future[Graph]:
        """A graph for inputs of these sizes. The last one is kept."""
        sizes = {name: array.shape for name, array in inputs.items()}
        key = verb, *sorted(sizes.items())
        with self.lock:
            if self.fitted is None or self.fitted[0] != key or (self.fitted[1].done() and self.fitted[1].exception()):
                self.fitted = key, self.makers.submit(self._compiled, verb, sizes)
            return self.fitted[1]

    def _compiled(self, verb: str, sizes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
        graph, tensors = self.weights.graphs[verb], self.weights.tensors
        key, streams = self.weights.sha256, self.streams
        return compile_graph(graph, tensors, self.precision, self.threads, self.device, key, streams, sizes)
