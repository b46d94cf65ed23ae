#!/usr/bin/env python3
"""Write LSTMs of the shapes of STAC-ML's three models, with random weights.

usage: models/make_lstm.py A|B|C FILE.onnx [SEED]

    A  input f32[50,1,100]   2 layers of 100 units    160,901 parameters
    B  input f32[100,1,250]  3 layers of 200 units  1,002,601 parameters
    C  input f32[100,1,500]  4 layers of 1000 units 30,017,001 parameters (120 MB)

Output f32[1,1]: a dense layer over the last step's outputs. The weights are drawn from a seeded
generator, so results mean nothing; these files are for measuring, and what is measured with
them is no STAC result. They are made where they are needed and never committed. Needs numpy
and onnx.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPES = {"A": (50, 100, 2, 100), "B": (100, 250, 3, 200), "C": (100, 500, 4, 1000)}


def make(name, seed):
    steps, inputs, layers, units = SHAPES[name]
    rng = np.random.Generator(np.random.PCG64(seed))
    scale = 1.0 / np.sqrt(units)
    constants, nodes, parameters = [], [], 0

    def constant(label, shape, size=scale):
        value = (rng.uniform(-size, size, shape)).astype(np.float32)
        constants.append(numpy_helper.from_array(value, label))
        return value.size

    for k in range(layers):
        width = inputs if k == 0 else units
        parameters += constant(f"w{k}", (1, 4 * units, width))
        parameters += constant(f"r{k}", (1, 4 * units, units))
        # ONNX has two biases where one is enough: the second is zero and not counted.
        bias = np.zeros((1, 8 * units), np.float32)
        bias[:, :4 * units] = rng.uniform(-0.1, 0.1, 4 * units)
        constants.append(numpy_helper.from_array(bias, f"b{k}"))
        parameters += 4 * units
        last = k == layers - 1
        nodes.append(helper.make_node(
            "LSTM", ["x" if k == 0 else f"x{k}", f"w{k}", f"r{k}", f"b{k}"],
            ["", "h"] if last else [f"y{k}"], hidden_size=units))
        if not last:
            nodes.append(helper.make_node("Squeeze", [f"y{k}", "one"], [f"x{k + 1}"]))
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    constants.append(numpy_helper.from_array(np.array([0], np.int64), "zero"))
    parameters += constant("dense", (units, 1)) + constant("dense_bias", (1,))
    nodes += [helper.make_node("Squeeze", ["h", "zero"], ["flat"]),
              helper.make_node("Gemm", ["flat", "dense", "dense_bias"], ["y"])]
    graph = helper.make_graph(
        nodes, f"lstm_{name}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, 1, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])], constants)
    model = helper.make_model(graph, producer_name="tribus make_lstm",
                              opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    return model, parameters


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in SHAPES:
        sys.exit(__doc__)
    model, parameters = make(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    onnx.save(model, sys.argv[2])
    print(f"{sys.argv[2]}: {parameters} parameters")


if __name__ == "__main__":
    main()
