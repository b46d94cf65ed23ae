#!/usr/bin/env python3
"""Compare models on a card with ONNX's reference arithmetic in double precision.

usage: tools/cuda_neural_test.py CARD_MODEL [FOLDER]

For each operator: models of random shapes, random inputs drawn afresh (seed printed, TRIBUS_SEED
obeyed), run by the program tests/cuda/card_model and by onnx.reference on the same model with
every float made a double. Fails above a relative error of 1e-5 of the whole output, in the
2-norm, or when an element was not written. Needs numpy and onnx.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

TOLERANCE = 1e-5
node = helper.make_node


class Case:
    """A model with its inputs: nodes, float inputs, float and whole constants."""

    def __init__(self, name, nodes, inputs, constants=None, outputs=("y",), opset=17):
        self.name, self.inputs = name, inputs
        constants = constants or {}
        infos = [helper.make_tensor_value_info(k, TensorProto.FLOAT, list(v.shape))
                 for k, v in inputs.items()]
        made = helper.make_graph(
            nodes, name, infos,
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
            [numpy_helper.from_array(v, k) for k, v in constants.items()])
        self.model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
        self.model.ir_version = 8
        self.wanted = self.exact(self.model)
        for info, value in zip(self.model.graph.output, self.wanted):
            info.CopyFrom(helper.make_tensor_value_info(info.name, TensorProto.FLOAT,
                                                        list(value.shape)))

    def exact(self, model):
        wide = onnx.ModelProto()
        wide.CopyFrom(model)
        for i, t in enumerate(wide.graph.initializer):
            if t.data_type == TensorProto.FLOAT:
                t.CopyFrom(numpy_helper.from_array(
                    numpy_helper.to_array(t).astype(np.float64), t.name))
        for info in list(wide.graph.input) + list(wide.graph.output):
            info.type.tensor_type.elem_type = TensorProto.DOUBLE
        for n in wide.graph.node:
            for a in n.attribute:
                if a.type == onnx.AttributeProto.TENSOR and a.t.data_type == TensorProto.FLOAT:
                    a.t.CopyFrom(numpy_helper.from_array(
                        numpy_helper.to_array(a.t).astype(np.float64), a.t.name))
        return ReferenceEvaluator(wide).run(
            None, {k: v.astype(np.float64) for k, v in self.inputs.items()})


def cases(rng):
    def f(*shape):
        return rng.normal(0.0, 1.0, shape).astype(np.float32)

    def size(low, high):
        return int(rng.integers(low, high + 1))

    def ints(*values):
        return np.array(values, np.int64)

    for op in ("Abs", "Neg", "Exp", "Relu", "Tanh", "Sigmoid", "Softplus", "Erf", "Identity",
               "Reciprocal"):
        yield Case(op, [node(op, ["x"], ["y"])], {"x": f(size(1, 40), size(1, 300))})
    for op in ("Sqrt", "Log"):
        yield Case(op, [node(op, ["x"], ["y"])], {"x": np.abs(f(37, size(1, 300))) + 0.1})
    yield Case("LeakyRelu", [node("LeakyRelu", ["x"], ["y"], alpha=0.2)], {"x": f(1000)})
    yield Case("Clip", [node("Clip", ["x", "a", "b"], ["y"])], {"x": f(3, 411)},
               {"a": np.float32(-0.5), "b": np.float32(0.7)})
    yield Case("ClipLow", [node("Clip", ["x", "a"], ["y"])], {"x": f(3, 411)},
               {"a": np.float32(-0.5)})
    yield Case("Gelu", [node("Gelu", ["x"], ["y"])], {"x": f(5, 77)}, opset=20)
    yield Case("GeluTanh", [node("Gelu", ["x"], ["y"], approximate="tanh")], {"x": f(5, 77)},
               opset=20)
    for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
        a, b, c = size(1, 9), size(2, 70), size(2, 33)
        for name, u, v in (("same", (a, b, c), (a, b, c)), ("row", (a, b, c), (c,)),
                           ("column", (b, 1), (a, 1, c)), ("number", (a, b), ())):
            y = np.abs(f(*v)) + 0.5 if op == "Div" else f(*v)
            yield Case(op + name, [node(op, ["x", "z"], ["y"])], {"x": f(*u)},
                       {"z": np.asarray(y, np.float32)})
    yield Case("Pow", [node("Pow", ["x", "z"], ["y"])], {"x": np.abs(f(9, 9)) + 0.1},
               {"z": np.float32(1.7)})
    for ta in (0, 1):
        for tb in (0, 1):
            m, n, k = size(1, 200), size(1, 200), size(1, 200)
            yield Case(f"Gemm{ta}{tb}",
                       [node("Gemm", ["x", "w", "c"], ["y"], transA=ta, transB=tb, alpha=0.7,
                             beta=1.3)],
                       {"x": f(*((k, m) if ta else (m, k)))},
                       {"w": f(*((n, k) if tb else (k, n))),
                        "c": f(*[(n,), (m, 1), (m, n), (1,)][2 * ta + tb])})
    yield Case("GemmPlain", [node("Gemm", ["x", "w"], ["y"])], {"x": f(65, 129)},
               {"w": f(129, 63)})
    m, n, k, b = size(1, 90), size(1, 90), size(1, 90), size(2, 5)
    for name, u, v in (("2", (m, k), (k, n)), ("3", (b, m, k), (b, k, n)),
                       ("3x2", (b, m, k), (k, n)), ("2x4", (m, k), (3, b, k, n)),
                       ("4x3", (3, 1, m, k), (b, k, n)), ("row", (k,), (b, k, n)),
                       ("column", (b, m, k), (k,)), ("dot", (k,), (k,))):
        yield Case("MatMul" + name, [node("MatMul", ["x", "w"], ["y"])], {"x": f(*u), "w": f(*v)})
    for axis in (0, 1, 2, -1):
        yield Case(f"Softmax{axis}", [node("Softmax", ["x"], ["y"], axis=axis)],
                   {"x": f(size(1, 9), size(1, 900), size(1, 9))})
    yield Case("LogSoftmax", [node("LogSoftmax", ["x"], ["y"], axis=1)], {"x": f(7, 300)})
    for axis in (-1, 1):
        a, b, c = size(1, 9), size(2, 30), size(2, 700)
        shape = (c,) if axis == -1 else (b, c)
        yield Case(f"LayerNormalization{axis}",
                   [node("LayerNormalization", ["x", "s", "b"], ["y"], axis=axis)],
                   {"x": f(a, b, c) + 3.0}, {"s": f(*shape), "b": f(*shape)})
    for keep in (0, 1):
        for axes in ((0,), (1,), (2,), (0, 2), (-1, 1), None):
            extra = {} if axes is None else {"axes": list(axes)}
            yield Case(f"ReduceMean{keep}{axes}".replace(" ", "").replace(",", "_"),
                       [node("ReduceMean", ["x"], ["y"], keepdims=keep, **extra)],
                       {"x": f(size(1, 9), size(1, 50), size(1, 900)) + 1.0})
    yield Case("ReduceSumInput", [node("ReduceSum", ["x", "a"], ["y"])], {"x": f(4, 5, 6) + 1.0},
               {"a": ints(1, -1)})
    c, h, w = 2 * size(1, 4), size(9, 30), size(9, 30)
    for name, kernel, extra in (
            ("plain", (3, 3), {}), ("pads", (3, 5), {"pads": [1, 2, 0, 1], "strides": [2, 1]}),
            ("dilated", (2, 3), {"dilations": [2, 3]}), ("group", (3, 3), {"group": 2}),
            ("same", (4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
            ("lower", (4, 3), {"auto_pad": "SAME_LOWER"})):
        yield Case("Conv2" + name, [node("Conv", ["x", "w", "b"], ["y"], **extra)],
                   {"x": f(2, c, h, w)},
                   {"w": f(6, c // extra.get("group", 1), *kernel), "b": f(6)})
    yield Case("Conv1", [node("Conv", ["x", "w"], ["y"], pads=[2, 0], dilations=[2])],
               {"x": f(3, 5, 64)}, {"w": f(8, 5, 3)})
    yield Case("Conv1depth", [node("Conv", ["x", "w"], ["y"], group=6, strides=[3])],
               {"x": f(1, 6, 50)}, {"w": f(12, 1, 5)})
    for units in (size(1, 60), size(128, 200)):
        t, n, i = size(1, 12), size(1, 5), size(1, 90)
        r = 1.0 / np.sqrt(units)
        for direction, d in (("forward", 1), ("reverse", 1)):
            weights = {"w": f(d, 4 * units, i) * np.float32(r),
                       "r": f(d, 4 * units, units) * np.float32(r), "b": f(d, 8 * units)}
            yield Case(f"LSTM{direction}{units}",
                       [node("LSTM", ["x", "w", "r", "b", "", "h", "c"], ["y", "y_h", "y_c"],
                             hidden_size=units, direction=direction)],
                       {"x": f(t, n, i), "h": f(d, n, units), "c": f(d, n, units)}, weights,
                       ("y", "y_h", "y_c"))
        weights = {"w": f(1, 4 * units, i) * np.float32(r),
                   "r": f(1, 4 * units, units) * np.float32(r)}
        yield Case(f"LSTMbare{units}", [node("LSTM", ["x", "w", "r"], ["", "y"],
                                             hidden_size=units)],
                   {"x": f(t, n, i)}, weights)
        for lbr in (0, 1):
            weights = {"w": f(1, 3 * units, i) * np.float32(r),
                       "r": f(1, 3 * units, units) * np.float32(r), "b": f(1, 6 * units)}
            yield Case(f"GRU{lbr}_{units}",
                       [node("GRU", ["x", "w", "r", "b", "", "h"], ["y", "y_h"],
                             hidden_size=units, linear_before_reset=lbr)],
                       {"x": f(t, n, i), "h": f(1, n, units)}, weights, ("y", "y_h"))
    yield Case("Reshape", [node("Reshape", ["x", "s"], ["y"])], {"x": f(4, 6, 5)},
               {"s": ints(0, -1, 10)})
    yield Case("Flatten", [node("Flatten", ["x"], ["y"], axis=2)], {"x": f(4, 6, 5)})
    yield Case("Squeeze", [node("Squeeze", ["x", "a"], ["y"])], {"x": f(4, 1, 5, 1)},
               {"a": ints(1)})
    yield Case("Unsqueeze", [node("Unsqueeze", ["x", "a"], ["y"])], {"x": f(4, 5)},
               {"a": ints(0, -1)})
    yield Case("Transpose", [node("Transpose", ["x"], ["y"], perm=[2, 0, 3, 1])],
               {"x": f(3, 4, 5, 6)})
    yield Case("TransposeAll", [node("Transpose", ["x"], ["y"])], {"x": f(3, 4, 5)})
    for axis in (0, 1, -1):
        shapes = [[3, 4, 5] for _ in range(3)]
        for s in shapes:
            s[axis] = size(1, 9)
        yield Case(f"Concat{axis}", [node("Concat", ["x", "u", "v"], ["y"], axis=axis)],
                   dict(zip(("x", "u", "v"), (f(*s) for s in shapes))))
    yield Case("Slice", [node("Slice", ["x", "s", "e", "a", "t"], ["y"])], {"x": f(9, 20, 30)},
               {"s": ints(-1, 2, 25), "e": ints(-100, 2**62, 3), "a": ints(0, 1, 2),
                "t": ints(-1, 3, -4)})
    yield Case("SliceShort", [node("Slice", ["x", "s", "e"], ["y"])], {"x": f(9, 20)},
               {"s": ints(1), "e": ints(-1)})
    yield Case("Constant",
               [node("Constant", [], ["k"], value=numpy_helper.from_array(f(5))),
                node("Add", ["x", "k"], ["y"])], {"x": f(3, 5)})
    yield Case("Attention",
               [node("MatMul", ["x", "q"], ["xq"]), node("MatMul", ["x", "k"], ["xk"]),
                node("MatMul", ["x", "v"], ["xv"]),
                node("Transpose", ["xk"], ["kt"], perm=[0, 2, 1]),
                node("MatMul", ["xq", "kt"], ["s"]), node("Mul", ["s", "scale"], ["t"]),
                node("Softmax", ["t"], ["p"], axis=-1), node("MatMul", ["p", "xv"], ["o"]),
                node("Add", ["o", "x"], ["y"])],
               {"x": f(2, 33, 48)},
               {"q": f(48, 48) * np.float32(0.1), "k": f(48, 48) * np.float32(0.1),
                "v": f(48, 48) * np.float32(0.1), "scale": np.float32(0.144)})
    shared = Case("OutputTwice", [node("Relu", ["x"], ["y"]), node("Identity", ["y"], ["z"])],
                  {"x": f(7, 7)}, outputs=("y", "z"))
    yield shared


def forecast(rng):
    case = Case.__new__(Case)
    case.name = "forecast"
    case.model = onnx.load(pathlib.Path(__file__).parent.parent / "models" / "forecast.onnx")
    case.inputs = {"returns": (rng.normal(0.0, 1.0, (439, 32)) * 0.01).astype(np.float32)}
    case.wanted = case.exact(case.model)
    return case


def main():
    program = sys.argv[1]
    seed = int(os.environ.get("TRIBUS_SEED", time.time()))
    rng = np.random.default_rng(seed)
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    print(f"TRIBUS_SEED={seed}")
    made, lines = list(cases(rng)) + [forecast(rng)], []
    for c in made:
        (folder / f"{c.name}.onnx").write_bytes(c.model.SerializeToString())
        words = [f"{c.name}.onnx"]
        for k, v in c.inputs.items():
            (folder / f"{c.name}.{k}").write_bytes(v.tobytes())
            words.append(f"{c.name}.{k}:{','.join(map(str, v.shape))}")
        words.append(">")
        for info, v in zip(c.model.graph.output, c.wanted):
            words.append(f"{c.name}.out.{info.name}:{','.join(map(str, v.shape))}")
        lines.append(" ".join(words))
    (folder / "cases").write_text("\n".join(lines) + "\n")
    ran = subprocess.run([program, str(folder)], capture_output=True, text=True, check=False)
    sys.stderr.write(ran.stderr)
    if ran.returncode == 77:
        print(ran.stdout.strip())
        return 77
    bad = 0 if ran.returncode == 0 else 1
    worst = 0.0
    for c in made:
        for info, want in zip(c.model.graph.output, c.wanted):
            path = folder / f"{c.name}.out.{info.name}"
            if not path.exists():
                print(f"FAIL {c.name}: no output; {ran.stdout[-300:]}")
                bad += 1
                break
            got = np.frombuffer(path.read_bytes(), np.float32).astype(np.float64)
            want = np.asarray(want, np.float64).reshape(-1)
            error = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)
            if got.size != want.size or not error <= TOLERANCE:
                print(f"FAIL {c.name} {info.name}: relative error {error:.3g}")
                bad += 1
            worst = error if not error <= worst else worst
    for line in ran.stdout.splitlines():
        if "refused" in line:
            print(line)
    print(f"{len(made)} models, {bad} failures, worst relative error {worst:.3g}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
