#!/usr/bin/env python3
"""Train the models of the pipelines vpin-enhanced, portfolio, strategy-analytics and
hybrid-backtest, and write them beside this file.

usage: models/train_workloads.py [--out models]

    toxicity.onnx         features f32[n, 8]                  -> regime f32[n, 3]
    factor_forecast.onnx  factors f32[assets, 516]            -> forecast f32[assets, 1]
    signal_refine.onnx    forecast, weights f32[assets, 1]    -> signals f32[assets, 1]
    pattern.onnx          returns f32[assets, 32]             -> pattern f32[assets, 3]
    strategy.onnx         returns f32[scenarios, steps]       -> position, same shape

Each is trained on data simulated here (see the function that makes it) and each prints what it
is worth out of sample against the simplest thing that could do the job. NAME.test.csv has
inputs and the outputs of this script's own arithmetic, for the tests.

Needs numpy and onnx (Debian: python3-numpy python3-onnx). Seeded.
"""
import argparse
import math
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 20240301
FACTORS = 516
WINDOW = 32
KERNEL = 16  # returns the strategy sees
node = helper.make_node


# ---- a perceptron with tanh layers, trained by Adam ----

def init(rng, sizes):
    return [(rng.normal(0.0, 1.0 / math.sqrt(a), (a, b)), np.zeros(b))
            for a, b in zip(sizes, sizes[1:])]


def forward(weights, x, last):
    layers = [x]
    for w, b in weights[:-1]:
        layers.append(np.tanh(layers[-1] @ w + b))
    w, b = weights[-1]
    out = layers[-1] @ w + b
    if last == "softmax":
        out = np.exp(out - out.max(axis=1, keepdims=True))
        out /= out.sum(axis=1, keepdims=True)
    elif last == "tanh":
        out = np.tanh(out)
    return layers, out


def train(rng, sizes, x, y, last, epochs=8, batch=512, top=5e-3):
    """y: one-hot rows for softmax, values for tanh (squared error)."""
    weights = init(rng, sizes)
    moments = [[np.zeros_like(p) for p in layer] for layer in weights]
    squares = [[np.zeros_like(p) for p in layer] for layer in weights]
    step, total = 0, epochs * (len(y) // batch)
    for _ in range(epochs):
        order = rng.permutation(len(y))
        for k in range(len(y) // batch):
            pick = order[k * batch:(k + 1) * batch]
            layers, out = forward(weights, x[pick], last)
            grad = (out - y[pick]) / batch
            if last == "tanh":
                grad *= 1.0 - out * out
            step += 1
            rate = top * 0.5 * (1.0 + math.cos(math.pi * step / total))
            for i in reversed(range(len(weights))):
                w, _ = weights[i]
                gradients = (layers[i].T @ grad, grad.sum(axis=0))
                grad = (grad @ w.T) * (1.0 - layers[i] ** 2) if i > 0 else None
                for j, g in enumerate(gradients):
                    moments[i][j] = 0.9 * moments[i][j] + 0.1 * g
                    squares[i][j] = 0.999 * squares[i][j] + 0.001 * g * g
                    m = moments[i][j] / (1.0 - 0.9 ** step)
                    v = squares[i][j] / (1.0 - 0.999 ** step)
                    weights[i][j][...] -= rate * m / (np.sqrt(v) + 1e-8)
    return single(weights)


def single(weights):
    """Weights as float32 will have them, so that test vectors are of the model that ships."""
    return [tuple(p.astype(np.float32).astype(np.float64) for p in layer) for layer in weights]


# ---- writing ----

def gemms(named, nodes, weights, start, end):
    """Append the layers; every layer but the last ends in tanh."""
    name = start
    for i, (w, b) in enumerate(weights):
        named[f"w{i}"], named[f"b{i}"] = w.astype(np.float32), b.astype(np.float32)
        made = f"g{i}" if i + 1 < len(weights) else end
        nodes.append(node("Gemm", [name, f"w{i}", f"b{i}"], [made]))
        if i + 1 < len(weights):
            nodes.append(node("Tanh", [f"g{i}"], [f"h{i}"]))
            name = f"h{i}"


def write(out, name, nodes, named, inputs, outputs):
    def info(ports):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in ports]
    made = helper.make_graph(nodes, name, info(inputs), info(outputs),
                             [numpy_helper.from_array(v, n) for n, v in named.items()])
    model = helper.make_model(made, producer_name="tribus train_workloads",
                              opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    blob = model.SerializeToString(deterministic=True)
    (out / f"{name}.onnx").write_bytes(blob)
    print(f"  {name}.onnx: {len(blob)} bytes")


def vectors(out, name, text, x, y):
    with open(out / f"{name}.test.csv", "w", newline="\n") as f:
        f.write(f"# models/train_workloads.py: {text}\n")
        for row in np.concatenate([x, y], axis=1):
            f.write(",".join("%.9g" % v for v in row) + "\n")


# ---- vpin-enhanced: which regime made this flow? ----

def phi(x):
    return 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def flow_features(price, size, book, buckets=50):
    """The features of the operation flow_features, in its order."""
    dp = np.diff(price, prepend=price[0])
    sd = dp.std(ddof=1)
    buy = size * (phi(dp / sd) if sd > 0 else 0.5)
    edges = np.cumsum(size)
    at = np.linspace(0.0, edges[-1], buckets + 1)
    filled = np.interp(at, np.concatenate([[0.0], edges]), np.concatenate([[0.0], np.cumsum(buy)]))
    share = np.diff(filled) / (edges[-1] / buckets)
    imbalance = np.abs(2.0 * share - 1.0)
    mid = 0.5 * (book[0, 0] + book[0, 2])
    bids, asks = book[:, 1].sum(), book[:, 3].sum()
    quarter = imbalance[-max(1, buckets // 4):]
    return np.array([
        imbalance.mean(), imbalance[-1], quarter.mean(), imbalance.max(),
        1e4 * sd / mid, (price[-1] - price[0]) / (sd * math.sqrt(len(price))) if sd > 0 else 0.0,
        1e4 * (book[0, 2] - book[0, 0]) / mid, (bids - asks) / (bids + asks)])


def simulate_flow(rng, informed, trades=2000):
    """Trades of which a fraction follows one piece of news; makers widen and thin the book."""
    side = np.where(rng.random(trades) < 0.5, 1.0, -1.0)
    news = np.where(rng.random() < 0.5, 1.0, -1.0)
    start = int(rng.integers(0, trades // 2))
    active = (np.arange(trades) >= start) & (rng.random(trades) < informed)
    side[active] = news
    size = rng.lognormal(4.0, 0.8, trades) * np.where(active, 1.5, 1.0)
    impact = 2e-6 * (1.0 + 2.0 * informed)
    price = 100.0 * np.exp(np.cumsum(side * impact * np.sqrt(size / 50.0) +
                                     rng.normal(0.0, 4e-6, trades)))
    spread = price[-1] * 1e-4 * (1.0 + 2.0 * informed) * rng.uniform(0.7, 1.3)
    levels = np.arange(10)
    depth = rng.lognormal(5.0, 0.4, (10, 2)) / (1.0 + 2.0 * informed)
    depth[:, 1 if news > 0 else 0] *= 1.0 - 0.4 * informed
    book = np.stack([price[-1] - spread / 2 - levels * 0.01, depth[:, 0],
                     price[-1] + spread / 2 + levels * 0.01, depth[:, 1]], axis=1)
    return price, size, book


def toxicity(rng, out):
    def draw(count):
        informed = rng.uniform(0.0, 0.9, count)
        x = np.stack([flow_features(*simulate_flow(rng, f, 600)) for f in informed])
        return x, np.digitize(informed, [0.2, 0.5])
    x, regime = draw(9000)
    mean, sd = x.mean(axis=0), x.std(axis=0) + 1e-9
    weights = train(rng, (8, 16, 3), (x - mean) / sd, np.eye(3)[regime], "softmax", epochs=30)
    # scaling becomes part of the first layer
    w, b = weights[0]
    weights[0] = (w / sd[:, None], b - (mean / sd) @ w)
    weights = single(weights)
    tx, tr = draw(2000)
    _, p = forward(weights, tx, "softmax")
    base = np.digitize(tx[:, 0], [np.quantile(x[:, 0], (regime == 0).mean()),
                                  np.quantile(x[:, 0], (regime <= 1).mean())])
    print(f"toxicity: out of sample {np.mean(p.argmax(1) == tr):.3f} right; "
          f"two thresholds on VPIN {np.mean(base == tr):.3f}")
    named, nodes = {}, []
    gemms(named, nodes, weights, "features", "logits")
    nodes.append(node("Softmax", ["logits"], ["regime"], axis=1))
    write(out, "toxicity", nodes, named, [("features", ["n", 8])], [("regime", ["n", 3])])
    vectors(out, "toxicity", "8 features, 3 probabilities", tx[:16], p[:16])


# ---- portfolio: 516 factors to a forecast; forecast and weight to a signal ----

def factor_world(rng, rows, truth):
    x = rng.normal(0.0, 1.0, (rows, FACTORS))
    common = rng.normal(0.0, 1.0, (rows, 12)) @ np.linspace(-1, 1, 12 * FACTORS).reshape(12, -1)
    x = np.clip((x + 0.3 * common) / 1.3, -4.0, 4.0)
    signal = np.tanh(x @ truth)
    return x, 0.01 * (0.35 * signal + rng.normal(0.0, 1.0, rows))


def portfolio(rng, out):
    truth = np.zeros(FACTORS)
    truth[rng.choice(FACTORS, 24, replace=False)] = rng.normal(0.0, 0.2, 24)
    x, y = factor_world(rng, 30000, truth)
    ridge = np.linalg.solve(x.T @ x + 3000.0 * np.eye(FACTORS), x.T @ y)
    weights = single([(ridge[:, None], np.array([0.0]))])
    tx, ty = factor_world(rng, 10000, truth)
    forecast = tx @ weights[0][0]
    mean_of_all = tx.mean(axis=1)
    print(f"factor_forecast: out of sample correlation {np.corrcoef(forecast[:, 0], ty)[0, 1]:.3f}"
          f"; the mean of all factors {np.corrcoef(mean_of_all, ty)[0, 1]:.3f}")
    named, nodes = {}, []
    gemms(named, nodes, weights, "factors", "forecast")
    write(out, "factor_forecast", nodes, named, [("factors", ["assets", FACTORS])],
          [("forecast", ["assets", 1])])
    vectors(out, "factor_forecast", "516 factors, forecast", tx[:4], forecast[:4])

    # The weight of an optimiser says what risk leaves of a forecast: learn what both together
    # say about the sign and size of the next return.
    n = 60000
    edge = rng.normal(0.0, 0.004, n)
    risk = rng.uniform(0.5, 3.0, n)
    seen = edge + rng.normal(0.0, 0.003, n)
    weight = np.maximum(0.0, seen / risk ** 2) * rng.uniform(0.5, 1.5, n)
    target = np.tanh((edge + rng.normal(0.0, 0.004, n)) / 0.006)
    raw = np.stack([seen, weight], axis=1)
    scale = np.array([200.0, 200.0])
    refine = train(rng, (2, 8, 1), raw * scale, target[:, None], "tanh")
    refine[0] = (refine[0][0] * scale[:, None], refine[0][1])
    refine = single(refine)
    _, signal = forward(refine, raw[:n // 4], "tanh")
    print(f"signal_refine: mean squared error {np.mean((signal[:, 0] - target[:n // 4]) ** 2):.4f};"
          f" always zero {np.mean(target[:n // 4] ** 2):.4f}")
    named, nodes = {}, [node("Concat", ["forecast", "weights"], ["both"], axis=1)]
    gemms(named, nodes, refine, "both", "raw")
    nodes.append(node("Tanh", ["raw"], ["signals"]))
    write(out, "signal_refine", nodes, named,
          [("forecast", ["assets", 1]), ("weights", ["assets", 1])], [("signals", ["assets", 1])])
    vectors(out, "signal_refine", "forecast, weight, signal", raw[:16], signal[:16])


# ---- strategy-analytics: is this window a trend? ----

def pattern_world(rng, rows):
    drift = rng.choice([-1.0, 0.0, 1.0], rows)[:, None] * rng.uniform(0.2, 0.6, (rows, 1))
    noise = rng.standard_t(5, (rows, WINDOW)) * math.sqrt(0.6)
    sd = 10.0 ** rng.uniform(-4, -1.5, (rows, 1))
    ramp = np.linspace(0.2, 1.0, WINDOW)
    return sd * (noise + drift * ramp), (np.sign(drift[:, 0]) + 1).astype(int)


def standardise(x):
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-16)


def pattern(rng, out):
    x, label = pattern_world(rng, 60000)
    weights = train(rng, (WINDOW, 24, 3), standardise(x), np.eye(3)[label], "softmax")
    tx, tl = pattern_world(rng, 10000)
    _, p = forward(weights, standardise(tx), "softmax")
    total = standardise(tx).sum(axis=1)
    base = np.digitize(total, np.quantile(total, [1 / 3, 2 / 3]))
    print(f"pattern: out of sample {np.mean(p.argmax(1) == tl):.3f} right; "
          f"the sign of the window's sum {np.mean(base == tl):.3f}")
    named = {"mean": np.full((WINDOW, 1), 1.0 / WINDOW, np.float32),
             "eps": np.array([1e-16], np.float32)}
    nodes = [node("Mul", ["returns", "returns"], ["square"]),
             node("MatMul", ["square", "mean"], ["variance"]),
             node("Add", ["variance", "eps"], ["positive"]),
             node("Sqrt", ["positive"], ["scale"]),
             node("Div", ["returns", "scale"], ["unit"])]
    gemms(named, nodes, weights, "unit", "logits")
    nodes.append(node("Softmax", ["logits"], ["pattern"], axis=1))
    write(out, "pattern", nodes, named, [("returns", ["assets", WINDOW])],
          [("pattern", ["assets", 3])])
    vectors(out, "pattern", "32 returns, probabilities of down, none, up", tx[:16], p[:16])


# ---- hybrid-backtest: a position from the last returns, for every step of every path ----

def paths(rng, rows, steps):
    """Momentum that fades: an AR(1) drift under noise, one unit of deviation a step."""
    drift, out = np.zeros(rows), np.empty((rows, steps))
    for t in range(steps):
        drift = 0.95 * drift + rng.normal(0.0, 0.12, rows)
        out[:, t] = drift + rng.normal(0.0, 1.0, rows)
    return 0.01 * out


def lags(x):
    """Windows [rows * steps, KERNEL] that end at each step; zeros before the first."""
    padded = np.concatenate([np.zeros((x.shape[0], KERNEL - 1)), x], axis=1)
    return np.lib.stride_tricks.sliding_window_view(padded, KERNEL, axis=1).reshape(-1, KERNEL)


def pnl(position, returns):
    return (position[:, :-1] * returns[:, 1:]).ravel()


def strategy(rng, out):
    r = paths(rng, 600, 200)
    target = np.tanh(np.concatenate([r[:, 1:], np.zeros((len(r), 1))], axis=1) / 0.01)
    keep = np.tile(np.arange(200) < 199, len(r))
    weights = train(rng, (KERNEL, 8, 1), 100.0 * lags(r)[keep], target.reshape(-1, 1)[keep],
                    "tanh", epochs=4)
    tr = paths(rng, 300, 200)
    _, position = forward(weights, 100.0 * lags(tr), "tanh")
    position = position.reshape(tr.shape)
    gain, base = pnl(position, tr), pnl(np.sign(tr), tr)
    print(f"strategy: out of sample Sharpe a step {gain.mean() / gain.std():.4f}; "
          f"following the last return {base.mean() / base.std():.4f}")
    (w0, b0), (w1, b1) = weights
    named = {"k0": np.float32(100.0 * w0.T[:, None, :]), "c0": b0.astype(np.float32),
             "k1": w1.T[:, :, None].astype(np.float32), "c1": b1.astype(np.float32),
             "one": np.array([1], np.int64)}
    nodes = [node("Unsqueeze", ["returns", "one"], ["signal"]),
             node("Conv", ["signal", "k0", "c0"], ["a"], pads=[KERNEL - 1, 0]),
             node("Tanh", ["a"], ["b"]),
             node("Conv", ["b", "k1", "c1"], ["c"]),
             node("Tanh", ["c"], ["d"]),
             node("Squeeze", ["d", "one"], ["position"])]
    write(out, "strategy", nodes, named, [("returns", ["scenarios", "steps"])],
          [("position", ["scenarios", "steps"])])
    vectors(out, "strategy", "returns of 32 steps, positions", tr[:6, :32],
            forward(weights, 100.0 * lags(tr[:6, :32]), "tanh")[1].reshape(6, 32))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    args = parser.parse_args()
    for part in (toxicity, portfolio, pattern, strategy):
        part(np.random.Generator(np.random.PCG64(SEED)), args.out)


if __name__ == "__main__":
    main()
