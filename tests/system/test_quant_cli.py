#!/usr/bin/python3
"""`tribus quant` on small files: values known by hand, and what bad input says and returns."""
import gzip
import json
import os
import subprocess
import sys
import tempfile

TRIBUS = os.path.join(os.environ.get("TRIBUS_BUILD", "build/release"), "tribus")
SOURCE = os.environ.get("TRIBUS_SOURCE", ".")


def tribus(*args, code=0, stdin=None):
    done = subprocess.run([TRIBUS, "quant", *args], capture_output=True, text=True, input=stdin, timeout=60)
    if done.returncode != code:
        sys.exit(f"tribus quant {' '.join(args)}: exit {done.returncode}, wanted {code}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def check(condition, what):
    if not condition:
        sys.exit(f"wrong: {what}")


def write(path, text):
    (gzip.open if path.endswith(".gz") else open)(path, "wt").write(text)
    return path


def main():
    folder = tempfile.mkdtemp(prefix="tribus-quant-")
    at = lambda name: os.path.join(folder, name)

    pnl = write(at("pnl.csv"), "day,pnl\n" + "".join(f"d{i},{(i * 37) % 100 - 50}\n" for i in range(100)))
    out, _ = tribus("var", "--file", pnl, "--column", "pnl", "--method", "historical", "--json")
    risk = json.loads(out)
    check(risk["var"] == 46 and risk["es"] == 48, f"historical VaR 46, ES 48: {risk}")
    out, _ = tribus("var", "--file", "-", "--column", "pnl", "--method", "historical",
                    stdin=open(pnl).read())
    check(out.splitlines()[1].startswith("historical,0.95,46,48"), out)

    days = range(80)
    prices = write(at("prices.csv.gz"), "date,A,B\n" + "".join(
        f"d{i},{100 + (i % 7) + i * 0.1},{50 + (i * 3 % 5) - i * 0.01}\n" for i in days))
    first = tribus("var", "--file", prices, "--prices", "--method", "monte-carlo", "--seed", "5")
    check(first == tribus("var", "--file", prices, "--prices", "--method", "monte-carlo", "--seed", "5"),
          "one seed, one result")
    for objective in ("min-variance", "max-sharpe", "mean-variance", "risk-parity", "hrp", "cvar", "mad"):
        out, _ = tribus("optimise", "--file", prices, "--objective", objective, "--json")
        weights = json.loads(out)["weights"]
        check(abs(sum(weights.values()) - 1) < 1e-9 and min(weights.values()) >= -1e-12, f"{objective}: {weights}")
    _, err = tribus("optimise", "--file", prices, "--lower", "0.6", code=1)
    check("cannot add up to the budget 1" in err, err)

    now = write(at("now.csv"), tribus("optimise", "--file", prices)[0])
    out, _ = tribus("optimise", "--file", prices, "--objective", "max-sharpe", "--start", now, "--turnover", "0.05", "--json")
    moved, held = json.loads(out)["weights"], dict(line.split(",") for line in open(now).read().split()[1:])
    check(sum(abs(moved[a] - float(held[a])) for a in moved) <= 0.05 + 1e-8, f"turnover kept: {moved} from {held}")
    groups = write(at("groups.csv"), "group,lower,upper,A,B\nfirst,0.7,,1,\nboth,,1.5,1,1\n")
    for objective in ("min-variance", "max-sharpe", "cvar", "mad"):
        out, _ = tribus("optimise", "--file", prices, "--objective", objective, "--groups", groups, "--json")
        check(json.loads(out)["weights"]["A"] >= 0.7 - 1e-8, f"{objective}: A at least 0.7: {out}")
    bounds = write(at("bounds.csv"), "asset,lower,upper\nA,,0.6\n")
    for objective in ("min-variance", "cvar"):
        _, err = tribus("optimise", "--file", prices, "--objective", objective, "--groups", groups, "--bounds", bounds, code=1)
        check("infeasible: group 0 cannot stay within 0.7 and inf" in err and "(group 0 is first)" in err, err)
    _, err = tribus("optimise", "--file", prices, "--objective", "cvar", "--start",
                    write(at("b.csv"), "asset,weight\nB,1\n"), "--turnover", "0.1", "--groups", groups, code=1)
    check("a turnover of 0.1 is too little" in err, err)
    _, err = tribus("optimise", "--file", prices, "--objective", "cvar", "--mean-floor", "99", code=1)
    check("the mean cannot reach the floor 99" in err, err)
    shares = []
    for view in (-0.1, 0.3):
        views = write(at("views.csv"), f"return,variance,A,B\n{view},0.0001,1,-1\n")
        out, _ = tribus("optimise", "--file", prices, "--objective", "mean-variance", "--views", views, "--json")
        shares.append(json.loads(out)["weights"]["A"])
    check(shares[0] < shares[1], f"a better view of A gives it more: {shares}")

    flat = write(at("flat.csv"), "day,A,B\nd0,0.1,0.0\nd1,-0.2,-0.1\nd2,-0.5,0.1\nd3,0.3,0.0\n")
    one_two = write(at("w.csv"), "asset,weight\nA,1\nB,2\n")
    out, _ = tribus("stress", "--file", flat, "--weights", one_two, "--window", "2",
                    "--table", write(at("shocks.csv"), "name,A,B\ncrash,-0.5,0.1\n"),
                    "--exposure", write(at("exposure.csv"), "asset,oil,rates\nA,1,0.5\nB,2,-1\n"),
                    "--shocks", write(at("factors.csv"), "name,oil,rates\nwar,-0.1,0.2\n"))
    rows = dict(line.split(",") for line in out.split()[1:])
    check(abs(float(rows["d1"]) - ((0.8 * 0.5 - 1) + 2 * (0.9 * 1.1 - 1))) < 1e-12, out)
    check(abs(float(rows["crash"]) + 0.3) < 1e-12 and abs(float(rows["war"]) + 0.8) < 1e-12, out)
    out, _ = tribus("performance", "--file", flat, "--column", "A", "--benchmark", "B", "--per-year", "4", "--json")
    measures = json.loads(out)
    check(abs(measures["total"] - (1.1 * 0.8 * 0.5 * 1.3 - 1)) < 1e-9 and abs(measures["max_drawdown"] - 0.6) < 1e-12
          and measures["beta"] is not None, out)
    out, _ = tribus("performance", "--file", flat, "--rolling", "3")
    check(len(out.splitlines()) == 3 and out.splitlines()[1].startswith("3,"), out)
    out, _ = tribus("performance", "--file", flat, "--falls", "2")
    check(out.splitlines()[1] == "2,3,5,0.6", out)

    bars = write(at("bars.csv"), "date,ticker,open,high,low,close,volume\n" + "".join(
        f"d{i},{t},{100 + i},{102 + i},{99 + i},{101 + i},{1000 + i}\n" for i in days for t in "XY"))
    mine = write(at("mine.factors"), "m = Mean($close, 3)\nr = Ref($close, 1)/$close # yesterday\n")
    out, _ = tribus("factors", "--file", bars, "--factors", mine, "--last", "1")
    check(out.splitlines()[0] == "date,ticker,m,r" and out.splitlines()[1].startswith("d79,X,179,0.994"), out)
    check(len(out.splitlines()) == 3, "one row for each ticker")
    out, _ = tribus("factors", "--file", bars, "--factors", os.path.join(SOURCE, "factors/alpha516.factors"),
                    "--last", "1", "--json")
    check(len(json.loads(out.splitlines()[0])) == 518, "516 factors, a date and a ticker")
    bad = write(at("bad.factors"), "ok = $close\nno = Mean($close)\n")
    _, err = tribus("factors", "--file", bars, "--factors", bad, code=1)
    check("bad.factors:2:17: expected ',' and a number of rows" in err, err)

    check(len(tribus("indicators", "--list")[0].splitlines()) == 46, "45 indicators")
    out, _ = tribus("indicators", "--file", bars, "--name", "sma", "--params", "2")
    check(out.splitlines()[:4] == ["date,ticker,sma", "d0,X,", "d0,Y,101", "d1,X,101.5"], out)
    out, _ = tribus("indicators", "--file", bars, "--name", "bbands", "--params", "5,2", "--json")
    check(None in json.loads(out.splitlines()[0]).values() and len(json.loads(out.splitlines()[9])) == 5, out)

    out, _ = tribus("backtest", "--file", bars, "--fast", "2", "--slow", "5", "--slow-max", "9", "--json")
    check(len(out.splitlines()) == 5 and json.loads(out.splitlines()[0])["slow"] == 5, out)
    _, err = tribus("backtest", "--file", bars, "--slow", "500", code=1)
    check("fewer rows" in err, err)

    trades = write(at("trades.csv"), "time,price,volume\n" + "".join(
        f"{1.6e9 + i * 60},{100 + (i * 13 % 11) * 0.01},{10 + i % 3}\n" for i in range(2000)))
    out, _ = tribus("vpin", "--file", trades, "--bucket", "200", "--window", "10")
    values = [float(line.split(",")[1]) for line in out.splitlines()[1:]]
    check(len(values) > 50 and all(0 <= v <= 1 for v in values), out)

    shocks_of_none = write(at("none_groups.csv"), "group,lower,upper,C\nx,0,1,1\n")
    for args, code, words in (
            (("var",), 2, "--file CSV is missing"),
            (("var", "--file", at("none.csv")), 1, "No such file"),
            (("var", "--file", pnl, "--column", "nope"), 2, "there are pnl"),
            (("var", "--file", pnl, "--confidence", "1.5"), 2, "--confidence in (0, 1)"),
            (("var", "--file", pnl, "--weights", "1,2"), 2, "--weights: 1 numbers"),
            (("var", "--file", write(at("hole.csv"), "x\n1\nabc\n")), 1, "hole.csv:3: 'abc' under x is not a number"),
            (("var", "--file", write(at("long.csv"), "x,y\n1,2\n1,2,3\n")), 1, "long.csv:3: 3 fields, the header has 2"),
            (("var", "--file", write(at("empty.csv"), "")), 1, "needs a header and a row of values"),
            (("vpin", "--file", trades, "--price", "cost"), 1, "no column of numbers named cost"),
            (("optimise", "--file", prices, "--objective", "luck"), 2, "no such --objective"),
            (("optimise", "--file", prices, "--start", now), 2, "--start and --turnover go together"),
            (("optimise", "--file", prices, "--objective", "hrp", "--groups", groups), 2, "take no --groups"),
            (("optimise", "--file", prices, "--groups", shocks_of_none), 1, "column C is not among the assets"),
            (("stress", "--file", flat), 2, "is needed"),
            (("stress", "--file", flat, "--window", "9"), 1, "fewer rows than --window"),
            (("indicators", "--file", bars, "--name", "magic"), 2, "no such --name"),
            (("indicators", "--file", bars, "--name", "sma"), 2, "sma takes 1: period"),
            (("performance", "--file", flat, "--column", "Z"), 2, "no column of numbers named Z"),
            (("nothing",), 2, "nothing")):
        _, err = tribus(*args, code=code)
        check(words in err, f"{args}: wanted '{words}', got {err}")
    for name in ("var", "vpin", "optimise", "stress", "performance", "indicators", "factors", "backtest"):
        out, _ = tribus(name, "--help")
        check("--file CSV" in out, out)
    print("tribus quant: done")


if __name__ == "__main__":
    main()
