// Convolutions of 3x3 with half the multiplications, for WebAssembly, which has no convolution of that kind: of m rows at once each
// is made of m + 2 convolutions of 1x3 of linear combinations of rows (Winograd's F(m, 3): Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, 2016, section 4.1; along columns as well it would save more, but columns lie too far apart in
// memory to be worth it). Written with what ONNX has; numbers differ by the rounding of single precision.

import { ATTRIBUTE, GRAPH, INT, INTS, MODEL_GRAPH, NODE, TENSOR, VALUE_NAME, inside, outside } from "./graph";
import { bytesField, contents, join, numberField, numbers, rewrite, texts } from "./protobuf";

const LEAST = 32; // channels in and out: with fewer it saves little time and costs memory, for there are pixels the more
const ELEMENTWISE = ["Add", "Mul", "Sigmoid"]; // of what the networks have
const PLAIN = { kernel_shape: "3,3", strides: "1,1", pads: "1,1,1,1", dilations: "1,1", group: "1" };

/** input: rows to combinations, kernel: three rows of a kernel to their factors, output: products to rows. */
interface Transform {
  input: number[][];
  kernel: number[][];
  output: number[][];
}

const TRANSFORMS: Record<number, Transform> = {
  2: {
    input: [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    kernel: [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    output: [[1, 1, 1, 0], [0, 1, -1, -1]],
  },
  4: {
    input: [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]],
    kernel: [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]],
    output: [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
  },
};

/**
 * A graph and the values of its tensors, whose inputs have a multiple of `rows` rows -> the same of another graph. Convolutions
 * that may have an odd number of rows stay as they are.
 */
export function winograd(model: Uint8Array, values: Map<string, Float32Array>, rows: number): [Uint8Array, Map<string, Float32Array>] {
  const [graph] = contents(model, MODEL_GRAPH);
  const tensors = new Map(contents(graph, GRAPH.initializer).map((tensor) => [texts(tensor, TENSOR.name)[0], tensor]));
  const found = new Map(values);
  const multiples = new Map(contents(graph, GRAPH.input).map((input) => [texts(input, VALUE_NAME)[0], rows]));
  const nodes = contents(graph, GRAPH.node).flatMap((content) => {
    const node = parse(content);
    const multiple = rowsOf(node, multiples);
    for (const output of node.outputs) multiples.set(output, multiple);
    const kernel = tensors.get(node.inputs[1]);
    const shape = kernel ? numbers(kernel, TENSOR.dims) : [];
    const plain = values.has(node.inputs[1]) && Object.entries(PLAIN).every(([name, value]) => String(node.attributes.get(name)) === value);
    if (node.kind !== "Conv" || !plain || multiple % 2 || Math.min(shape[0], shape[1]) < LEAST) return [content];
    return convolution(node, shape, multiple % 4 ? 2 : 4, tensors, found);
  });
  const used = new Set(nodes.flatMap((node) => texts(node, NODE.input)));
  const parts = [
    ...nodes.map((node) => bytesField(GRAPH.node, node)),
    ...[...tensors].filter(([name]) => used.has(name)).map(([, tensor]) => bytesField(GRAPH.initializer, tensor)),
    rewrite(rewrite(graph, GRAPH.node, () => []), GRAPH.initializer, () => []),
  ];
  return [rewrite(model, MODEL_GRAPH, () => [join(parts)]), new Map([...found].filter(([name]) => used.has(name)))];
}

/** The nodes of one convolution, m rows at once; their tensors and values are added to those that are there. */
function convolution({ inputs, outputs }: Node, [k, c]: number[], m: number, tensors: Map<string, Uint8Array>, values: Map<string, Float32Array>): Uint8Array[] {
  const { input, kernel, output } = TRANSFORMS[m];
  const n = m + 2;
  const tensor = (name: string, shape: number[], content: Float32Array) => {
    tensors.set(name, outside(name, shape));
    values.set(name, content);
    return name;
  };
  const shape = (...sides: number[]) => {
    const name = `shape ${sides}`;
    tensors.set(name, inside(name, sides));
    return name;
  };
  const bias = new Float32Array(n * k);
  if (inputs[2]) bias.set(values.get(inputs[2])!, k); // of the products the second counts once in each row
  const products = [
    tensor(`${inputs[1]} F(${m}, 3)`, [n * k, c, 1, 3], factors(values.get(inputs[1])!, k, c, kernel)),
    tensor(`${inputs[1]} F(${m}, 3) bias`, [n * k], bias),
  ];
  const combine = tensor(`rows of F(${m}, 3)`, [n, 1, n, 1], Float32Array.from(input.flat()));
  const collect = tensor(`products of F(${m}, 3)`, [m, n, 1, 1], Float32Array.from(output.flat()));
  const [x, y] = [inputs[0], outputs[0]];
  return [ // groups of m rows: T; columns: W; a 0 in a shape stands for as many as before
    build("Reshape", [x, shape(-1, 1, 0, 0)], `${y} 1`),
    build("Conv", [`${y} 1`, combine], `${y} 2`, { strides: [m, 1], pads: [1, 0, 1, 0] }), // (c, n, T, W)
    build("Transpose", [`${y} 2`], `${y} 3`, { perm: [1, 0, 2, 3] }),
    build("Reshape", [`${y} 3`, shape(1, n * c, 0, 0)], `${y} 4`),
    build("Conv", [`${y} 4`, ...products], `${y} 5`, { pads: [0, 1, 0, 1] }, n), // (1, n k, T, W)
    build("Reshape", [`${y} 5`, shape(1, n, -1, 0)], `${y} 6`),
    build("Conv", [`${y} 6`, collect], `${y} 7`), // (1, m, k T, W)
    build("Transpose", [`${y} 7`], `${y} 8`, { perm: [0, 2, 1, 3] }),
    build("Reshape", [`${y} 8`, shape(1, k, -1, 0)], y),
  ];
}

/** A kernel (k, c, 3, 3) -> (n, k, c, 3), combinations of its rows. */
function factors(kernel: Float32Array, k: number, c: number, combinations: number[][]): Float32Array {
  const size = k * c * 3;
  const found = new Float32Array(combinations.length * size);
  for (let n = 0; n < combinations.length; n++) {
    const [a, b, d] = combinations[n];
    for (let at = n * size, from = 0; from < kernel.length; from += 9, at += 3) {
      found[at] = a * kernel[from] + b * kernel[from + 3] + d * kernel[from + 6];
      found[at + 1] = a * kernel[from + 1] + b * kernel[from + 4] + d * kernel[from + 7];
      found[at + 2] = a * kernel[from + 2] + b * kernel[from + 5] + d * kernel[from + 8];
    }
  }
  return found;
}

/** Of what the rows of a node's outputs are a multiple; 1: nothing is known. */
function rowsOf({ kind, inputs, attributes }: Node, known: Map<string, number>): number {
  const multiple = Math.max(...inputs.map((input) => known.get(input) ?? 1));
  if (ELEMENTWISE.includes(kind)) return multiple;
  if (kind === "DepthToSpace") return multiple * attributes.get("blocksize")![0];
  const stride = attributes.get("strides")?.[0] ?? 1;
  return kind === "Conv" && multiple % stride === 0 ? multiple / stride : 1;
}

interface Node {
  kind: string;
  inputs: string[];
  outputs: string[];
  attributes: Map<string, number[]>; // those of whole numbers
}

function parse(node: Uint8Array): Node {
  const attributes = contents(node, NODE.attribute).map((attribute): [string, number[]] => [
    texts(attribute, ATTRIBUTE.name)[0],
    [...numbers(attribute, ATTRIBUTE.int), ...numbers(attribute, ATTRIBUTE.ints)],
  ]);
  return { kind: texts(node, NODE.kind)[0], inputs: texts(node, NODE.input), outputs: texts(node, NODE.output), attributes: new Map(attributes) };
}

function build(kind: string, inputs: string[], output: string, lists: Record<string, number[]> = {}, group = 1): Uint8Array {
  const attributes = Object.entries(lists).map(([name, list]) => [
    bytesField(ATTRIBUTE.name, name), ...list.map((number) => numberField(ATTRIBUTE.ints, number)), numberField(ATTRIBUTE.type, INTS),
  ]);
  if (group > 1) attributes.push([bytesField(ATTRIBUTE.name, "group"), numberField(ATTRIBUTE.int, group), numberField(ATTRIBUTE.type, INT)]);
  return join([
    ...inputs.map((name) => bytesField(NODE.input, name)),
    bytesField(NODE.output, output),
    bytesField(NODE.kind, kind),
    ...attributes.map((parts) => bytesField(NODE.attribute, join(parts))),
  ]);
}
