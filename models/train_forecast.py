#!/usr/bin/env python3
"""Train the forecast model of the pipeline ml-risk and write models/forecast.onnx.

usage: models/train_forecast.py [--out models] [--prices FILE.csv]

Input   returns  f32[assets, 32]   log returns of each asset, oldest first, any time step
Output  forecast f32[assets, 2]    mean and volatility (standard deviation) of the next return

The network sees each window divided by its own exponentially weighted deviation and its answer
is multiplied by it again, so it knows nothing of units: doubling the returns doubles the
forecast, and one model serves daily returns and one-second returns alike. What it learns is
how far to depart from that deviation, given the shape of the window and the same average over
shorter and longer memories.

It is trained on returns this script simulates: assets with a common factor, GARCH(1,1)
variances for the factor and for each asset, Student-t shocks, a weak first-order
autocorrelation, and for every third asset prices rounded to a tick so that many returns are
exactly zero. Loss: negative Gaussian log-likelihood of the next return. --prices adds a test
(never training) on real prices: a csv with a date column and one column of prices an asset.

Needs numpy and onnx (Debian: python3-numpy python3-onnx). Seeded: a machine gives the same
file each time; another CPU may differ in the last bits, because sums there have another order.
"""
import argparse
import csv
import math
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WINDOW = 32
HIDDEN = (24, 12)
SEED = 20240229
EPS = 1e-16  # added to the variance: an all-zero window forecasts 1e-8 times a number, not 0
KEEP = 0.94  # RiskMetrics' daily decay: the scale of the window, and the baseline to beat
MEMORIES = (0.60, 0.80, 0.90, 0.98)
FLOOR = 1e-2  # of the variance ratios below, so that their logarithm stays tame
DECAY = 3e-3  # of the weights, a step at full rate
TAU = 2.0 * math.pi


def simulate(rng, assets, steps):
    """Returns [steps, assets]. Variances are GARCH(1,1) around one, scaled at the end."""
    burn = 200
    n = steps + burn
    beta = rng.uniform(0.3, 1.2, assets)

    def garch(width):
        alpha = rng.uniform(0.03, 0.20, width)
        decay = np.minimum(rng.uniform(0.70, 0.96, width), 0.995 - alpha)
        omega = 1.0 - alpha - decay
        freedom = rng.uniform(4.0, 12.0, width)
        shocks = rng.standard_t(np.broadcast_to(freedom, (n, width)))
        shocks *= np.sqrt((freedom - 2.0) / freedom)
        out = np.empty((n, width))
        h = np.ones(width)
        for t in range(n):
            out[t] = np.sqrt(h) * shocks[t]
            h = omega + alpha * out[t] ** 2 + decay * h
        return out

    noise = garch(assets) + garch(1) * beta
    phi = rng.uniform(-0.15, 0.15, assets)
    returns = np.empty((n, assets))
    last = np.zeros(assets)
    for t in range(n):
        last = phi * last + noise[t]
        returns[t] = last
    returns = returns[burn:] * 10.0 ** rng.uniform(-4.5, -1.5, assets)

    # Every third asset trades at prices rounded to a tick of 0.3 to 1.5 deviations.
    coarse = np.arange(0, assets, 3)
    tick = returns[:, coarse].std(axis=0) * rng.uniform(0.3, 1.5, coarse.size)
    level = np.round(np.cumsum(returns[:, coarse], axis=0) / tick) * tick
    returns[:, coarse] = np.diff(level, axis=0, prepend=0.0)
    return returns


def windows(returns, stride):
    """Windows [samples, WINDOW] and the return that follows each [samples]."""
    starts = np.arange(0, returns.shape[0] - WINDOW, stride)
    x = np.stack([returns[s:s + WINDOW].T for s in starts]).reshape(-1, WINDOW)
    y = np.stack([returns[s + WINDOW] for s in starts]).reshape(-1)
    return x, y


def averages(keeps):
    """Weights [WINDOW, len(keeps)] of exponential averages, each column summing to one."""
    w = np.array(keeps)[None, :] ** np.arange(WINDOW - 1, -1, -1)[:, None]
    return w / w.sum(axis=0)


def normalise(x):
    s = np.sqrt(x * x @ averages([KEEP]) + EPS)
    u = x / s
    ratios = np.log(u * u @ averages(MEMORIES) + FLOOR)
    return s, np.concatenate([u, np.abs(u), ratios], axis=1)


def init(rng):
    sizes = (2 * WINDOW + len(MEMORIES),) + HIDDEN + (2,)
    weights = [(rng.normal(0.0, 1.0 / math.sqrt(a), (a, b)), np.zeros(b))
               for a, b in zip(sizes, sizes[1:])]
    weights[-1] = (weights[-1][0] * 0.1, weights[-1][1])
    return weights


def forward(weights, features):
    layers = [features]
    for w, b in weights[:-1]:
        layers.append(np.tanh(layers[-1] @ w + b))
    w, b = weights[-1]
    return layers, layers[-1] @ w + b


def nll(mean, log_volatility, y):
    """Negative log-likelihood of each y under a Gaussian."""
    z = (y - mean) * np.exp(-log_volatility)
    return 0.5 * math.log(TAU) + log_volatility + 0.5 * z * z


def train(rng, x, y, epochs=5, batch=1024):
    weights = init(rng)
    moments = [[np.zeros_like(p) for p in layer] for layer in weights]
    squares = [[np.zeros_like(p) for p in layer] for layer in weights]
    s, features = normalise(x)
    # A tick later the next return may be hundreds of deviations of a nearly still window; ten
    # is where one sample stops pulling harder.
    target = np.clip(y[:, None] / s, -10.0, 10.0)[:, 0]
    step, total = 0, epochs * (len(y) // batch)
    for _ in range(epochs):
        order = rng.permutation(len(y))
        for k in range(len(y) // batch):
            pick = order[k * batch:(k + 1) * batch]
            layers, out = forward(weights, features[pick])
            z = target[pick] - out[:, 0]
            precision = np.exp(-2.0 * out[:, 1])
            grad = np.stack([-z * precision, 1.0 - z * z * precision], axis=1) / batch
            step += 1
            rate = 3e-3 * 0.5 * (1.0 + math.cos(math.pi * step / total))
            for i in reversed(range(len(weights))):
                w, b = weights[i]
                gradients = (layers[i].T @ grad, grad.sum(axis=0))
                grad = (grad @ w.T) * (1.0 - layers[i] ** 2) if i > 0 else None
                for j, g in enumerate(gradients):
                    moments[i][j] = 0.9 * moments[i][j] + 0.1 * g
                    squares[i][j] = 0.999 * squares[i][j] + 0.001 * g * g
                    m = moments[i][j] / (1.0 - 0.9 ** step)
                    v = squares[i][j] / (1.0 - 0.999 ** step)
                    if j == 0:
                        w *= 1.0 - DECAY * rate
                    weights[i][j][...] -= rate * m / (np.sqrt(v) + 1e-8)
    return weights


def predict(weights, x):
    s, features = normalise(x)
    _, out = forward(weights, features)
    return s[:, 0] * out[:, 0], np.log(s[:, 0]) + out[:, 1]


def ewma(x):
    """The baseline: mean zero, RiskMetrics variance over the same window."""
    return 0.0, 0.5 * np.log((x * x @ averages([KEEP]))[:, 0] + EPS)


def report(name, weights, x, y):
    moving = np.any(x != 0.0, axis=1)
    x, y = x[moving], y[moving]
    model = nll(*predict(weights, x), y).mean()
    base = nll(*ewma(x), y).mean()
    mean, logv = predict(weights, x)
    z = (y - mean) * np.exp(-logv)
    print(f"{name}: {len(y)} forecasts, mean log-likelihood model {-model:.4f} "
          f"EWMA(0.94) {-base:.4f} gain {base - model:+.4f}; "
          f"standardised residual sd {z.std():.3f}")


def graph(weights):
    """The same arithmetic as predict(), as an ONNX graph of opset 13."""
    named = {"eps": np.array([EPS], np.float32), "floor": np.array([FLOOR], np.float32),
             "keep": averages([KEEP]).astype(np.float32),
             "memories": averages(MEMORIES).astype(np.float32)}
    for i, (w, b) in enumerate(weights):
        named[f"w{i}"] = w.astype(np.float32)
        named[f"b{i}"] = b.astype(np.float32)
    for name, value in (("zero", 0), ("one", 1), ("two", 2)):
        named[name] = np.array([value], np.int64)
    node = helper.make_node
    nodes = [
        node("Mul", ["returns", "returns"], ["square"]),
        node("MatMul", ["square", "keep"], ["variance"]),
        node("Add", ["variance", "eps"], ["positive"]),
        node("Sqrt", ["positive"], ["scale"]),
        node("Div", ["returns", "scale"], ["u"]),
        node("Mul", ["u", "u"], ["u2"]),
        node("MatMul", ["u2", "memories"], ["ratio"]),
        node("Add", ["ratio", "floor"], ["positive_ratio"]),
        node("Log", ["positive_ratio"], ["log_ratio"]),
        node("Abs", ["u"], ["size"]),
        node("Concat", ["u", "size", "log_ratio"], ["h0"], axis=1),
    ]
    for i in range(len(weights) - 1):
        nodes += [node("Gemm", [f"h{i}", f"w{i}", f"b{i}"], [f"g{i}"]),
                  node("Tanh", [f"g{i}"], [f"h{i + 1}"])]
    last = len(weights) - 1
    nodes += [
        node("Gemm", [f"h{last}", f"w{last}", f"b{last}"], ["out"]),
        node("Slice", ["out", "zero", "one", "one"], ["unit_mean"]),
        node("Slice", ["out", "one", "two", "one"], ["log_unit_volatility"]),
        node("Exp", ["log_unit_volatility"], ["unit_volatility"]),
        node("Concat", ["unit_mean", "unit_volatility"], ["unit_forecast"], axis=1),
        node("Mul", ["unit_forecast", "scale"], ["forecast"]),
    ]
    made = helper.make_graph(
        nodes, "forecast",
        [helper.make_tensor_value_info("returns", TensorProto.FLOAT, ["assets", WINDOW])],
        [helper.make_tensor_value_info("forecast", TensorProto.FLOAT, ["assets", 2])],
        [numpy_helper.from_array(value, name) for name, value in named.items()])
    model = helper.make_model(made, producer_name="tribus train_forecast",
                              opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def read_prices(path):
    """Log returns [steps, assets] of the columns that are complete from some row on."""
    with open(path, newline="") as f:
        rows = list(csv.reader(f))
    prices = np.array([[float(v) if v else np.nan for v in row[1:]] for row in rows[1:]])
    prices = prices[len(prices) // 2:]
    prices = prices[:, np.all(prices > 0.0, axis=0)]
    return np.diff(np.log(prices), axis=0)


def write_vectors(path, rng, weights):
    """Windows of three scales and their forecasts, to test other runs of the model against."""
    cases = np.concatenate([
        simulate(rng, 12, 2 * WINDOW)[-WINDOW:].T,
        np.zeros((1, WINDOW)),
        np.full((1, WINDOW), 1e-3),
        rng.normal(0.0, 1.0, (1, WINDOW)) * 10.0 ** np.arange(-5, -1)[:, None],
    ]).astype(np.float32)
    mean, logv = predict([(w.astype(np.float32).astype(np.float64),
                           b.astype(np.float32).astype(np.float64)) for w, b in weights],
                         cases.astype(np.float64))
    with open(path, "w", newline="\n") as f:
        f.write("# models/train_forecast.py: %d returns, then mean and volatility a line\n"
                % WINDOW)
        for x, m, v in zip(cases, mean, np.exp(logv)):
            f.write(",".join("%.9g" % value for value in [*x, m, v]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--prices", action="append", default=[], help="csv of real prices")
    args = parser.parse_args()
    rng = np.random.Generator(np.random.PCG64(SEED))

    worlds = [windows(simulate(rng, 16, 2000), 5) for _ in range(240)]
    x, y = (np.concatenate(part) for part in zip(*worlds))
    weights = train(rng, x, y)
    unseen = [windows(simulate(rng, 8, 2000), 5) for _ in range(120)]
    for name, size in (("training data", (x, y)),
                       ("out of sample, new assets",
                        [np.concatenate(part) for part in zip(*unseen)])):
        report(name, weights, *size)
    for path in args.prices:
        report(f"out of sample, {pathlib.Path(path).name}", weights,
               *windows(read_prices(path), 1))

    model = graph(weights)
    blob = model.SerializeToString(deterministic=True)
    (args.out / "forecast.onnx").write_bytes(blob)
    write_vectors(args.out / "forecast.test.csv", rng, weights)
    print(f"{args.out / 'forecast.onnx'}: {len(blob)} bytes, "
          f"{sum(w.size + b.size for w, b in weights)} parameters")


if __name__ == "__main__":
    main()
