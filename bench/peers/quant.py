#!/usr/bin/python3
"""Time numpy, scipy and pandas on what `tribus bench quant` times; one row each.

usage: bench/peers/quant.py [factors/alpha516.factors] [--json] [--only CASE] [--part N]

Needs Debian's python3-numpy, python3-scipy and python3-pandas; what is absent is said on stderr.
Slow peers run a part of the work and are scaled; "scaled_by" says by how much. --part picks which
part, a ticker of the factors: `tribus bench quant` runs one case at a time, in turn with its own.
"""
import argparse
import json
import re
import sys
import time

ASSETS, DAYS, PATHS = 439, 1256, 100000


ASK = argparse.ArgumentParser(usage=__doc__)
ASK.add_argument("factors", nargs="?", default="factors/alpha516.factors")
ASK.add_argument("--json", action="store_true")
ASK.add_argument("--only")
ASK.add_argument("--part", type=int, default=0)
ASKED = ASK.parse_args()


def row(case, path, seconds, units, unit, scaled_by=1.0):
    ns = seconds * 1e9 * scaled_by
    if ASKED.json:
        print(json.dumps({"bench": "quant", "case": case, "path": path, "p50_ns": round(ns), "p99_ns": round(ns),
                          "rate_per_s": units / ns * 1e9, "unit": unit, "repeats": 1, "scaled_by": scaled_by}))
    else:
        print(f"{case:26s} {path:10s} p50 {ns / 1e6:12.3f} ms  {units / ns * 1e9:12.4g} {unit}/s"
              + (f"  (scaled by {scaled_by:g})" if scaled_by != 1 else ""))
    sys.stdout.flush()


def timed(call):
    began = time.process_time()
    call()
    return time.process_time() - began


def monte_carlo(np):
    part = PATHS // 5
    rng = np.random.default_rng(1)
    chol = np.tril(np.full((ASSETS, ASSETS), 0.0005, dtype=np.float32))
    np.fill_diagonal(chol, 0.02)
    w = np.full(ASSETS, 1 / ASSETS, dtype=np.float32)

    def run():
        z = rng.standard_normal((part, ASSETS), dtype=np.float32)
        scale = np.sqrt(3 / rng.chisquare(5, part)).astype(np.float32)
        pnl = np.sort(((z @ chol.T) * scale[:, None]) @ w)
        return pnl[:part // 100].mean()

    row("mc-var-439-t5", "numpy", timed(run), PATHS, "path", PATHS / part)


def min_variance(np, optimize):
    n = ASSETS
    x = np.random.default_rng(2).standard_normal((DAYS, n))
    cov = np.cov((x + x[:, :1]).T) * 1e-4
    call = lambda: optimize.minimize(lambda w: 1e4 * w @ cov @ w, np.full(n, 1 / n), jac=lambda w: 2e4 * cov @ w,
                                     bounds=[(0, 1)] * n, constraints={"type": "eq", "fun": lambda w: w.sum() - 1,
                                                                                 "jac": lambda w: np.ones((1, n))},
                                     method="SLSQP", options={"ftol": 1e-12, "maxiter": 300})
    row(f"min-variance-{n}-cold", "scipy", timed(call), 1, "solve")


def event_loop(np):
    close = 100 * np.exp(np.cumsum(0.01 * np.random.default_rng(3).standard_normal(DAYS)))
    bars = [float(c) for c in close]

    def run(fast, slow):
        cash, held, want, last, window = 0.0, False, False, 0.0, []
        for price in bars:
            if want != held:
                cash += price if held else -price
                held = want
            window.append(price)
            if len(window) < slow:
                continue
            del window[:-slow]
            d = sum(window[-fast:]) / fast - sum(window) / slow
            if d > 0 > last:
                want = True
            elif d < 0 < last:
                want = False
            last = d or last
        return cash

    pairs = [(1 + i % 20, 21 + i // 20) for i in range(ASKED.part % 47, 1000, 47)]
    row("sweep-sma-1000", "python", timed(lambda: [run(f, s) for f, s in pairs]), 1000, "run", 1000 / len(pairs))


def factors(np, pd, path):
    """The 516 expressions by pandas' own rolling functions, on one ticker."""
    z = np.random.default_rng([4, ASKED.part]).standard_normal(DAYS)
    close = pd.Series(100 * np.exp(np.cumsum(0.01 * z)))
    data = {"open": close.shift(1).fillna(100.0), "high": close * 1.01, "low": close * 0.98, "close": close,
            "volume": pd.Series(np.floor(1e6 * np.exp(0.5 * z)))}
    data["vwap"] = (data["high"] + data["low"] + data["close"]) / 3
    t = pd.Series(np.arange(DAYS, dtype=float))
    roll = lambda x, n: x.astype(float).rolling(n, min_periods=1)
    slope = lambda x, n: roll(x, n).cov(t) / roll(t, n).var()
    words = {
        "Abs": np.abs, "Log": np.log, "Greater": np.maximum, "Less": np.minimum, "Ref": lambda x, n: x.shift(n),
        "Mean": lambda x, n: roll(x, n).mean(), "Sum": lambda x, n: roll(x, n).sum(),
        "Std": lambda x, n: roll(x, n).std(), "Max": lambda x, n: roll(x, n).max(),
        "Min": lambda x, n: roll(x, n).min(), "Slope": slope,
        "Rsquare": lambda x, n: roll(x, n).corr(t) ** 2,
        "Resi": lambda x, n: x - roll(x, n).mean() - slope(x, n) * (t - roll(t, n).mean()),
        "Rank": lambda x, n: roll(x, n).rank(pct=True),
        "IdxMax": lambda x, n: roll(x, n).apply(lambda v: v.argmax() + 1, raw=True),
        "IdxMin": lambda x, n: roll(x, n).apply(lambda v: v.argmin() + 1, raw=True),
        "Quantile": lambda x, n, q: roll(x, n).quantile(q),
        "Corr": lambda x, y, n: roll(x, n).corr(y), "F": data}
    lines = [line.split("=", 1)[1] for line in open(path) if "=" in line and not line.lstrip().startswith("#")]
    code = [compile(re.sub(r"\$(\w+)", r"F['\1']", line.strip()), "factor", "eval") for line in lines]
    row("factors-516-439x1256", "pandas", timed(lambda: [eval(c, words) for c in code]),
        len(code) * ASSETS * DAYS, "value", ASSETS)


def main():
    try:
        import numpy as np
    except ImportError:
        sys.exit("quant.py: no peers: install python3-numpy, python3-scipy and python3-pandas")
    asked = lambda case: ASKED.only is None or case.startswith(ASKED.only)
    if asked("mc-var-439-t5"):
        monte_carlo(np)
    if asked("sweep-sma-1000"):
        event_loop(np)
    if asked("min-variance-439-cold"):
        try:
            from scipy import optimize
            min_variance(np, optimize)
        except ImportError:
            print("quant.py: python3-scipy is not installed", file=sys.stderr)
    if asked("factors-516-439x1256"):
        try:
            import pandas as pd
            np.seterr(all="ignore")
            factors(np, pd, ASKED.factors)
        except ImportError:
            print("quant.py: python3-pandas is not installed", file=sys.stderr)


if __name__ == "__main__":
    main()
