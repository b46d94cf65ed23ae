#!/usr/bin/python3
"""`tribus quant option | garch | covariance | classify | fi2010 | ic`: values known by hand or published, and
what bad input says. The published ones need TRIBUS_DATA; without it they are skipped in one line."""
import csv
import io
import json
import math
import os
import tempfile

from test_quant_cli import check, tribus, write

DATA = os.environ.get("TRIBUS_DATA", "")


def rows_of(out):
    return list(csv.DictReader(io.StringIO(out)))


def near(a, b, tolerance=1e-9):
    return abs(float(a) - b) <= tolerance


def options(at):
    one = ("option", "--strike", "65", "--spot", "60", "--rate", "0.08", "--years", "0.25", "--volatility", "0.3")
    call, put = (json.loads(tribus(*one, "--type", t, "--json")[0]) for t in ("call", "put"))
    check(near(call["price"], 2.1334, 1e-4), f"Haug's call: {call}")
    check(near(call["price"] - put["price"], 60 - 65 * math.exp(-0.08 * 0.25)), "put-call parity")
    check(near(call["delta"] - put["delta"], 1) and near(call["gamma"], put["gamma"]) and
          near(call["vega"], put["vega"]), f"Greeks: {call} {put}")
    file = write(at("options.csv.gz"), "type,strike,spot,r,t,vol\nCall,65,60,0.08,0.25,0.3\np,65,60,0.08,0.25,0.3\n")
    table = rows_of(tribus("option", "--file", file)[0])
    check([near(r["price"], o["price"], 1e-11) for r, o in zip(table, (call, put))] == [True, True], table)
    expired = json.loads(tribus("option", "--type", "call", "--strike", "90", "--spot", "100", "--years", "0",
                                "--volatility", "0.2", "--json")[0])
    check(expired["price"] == 10 and expired["delta"] == 1, f"expired: {expired}")
    if DATA:
        file = os.path.join(DATA, "options_haug/european_haug1998.csv")
        worst = max(abs(float(got["price"]) - float(want["value"])) for got, want in
                    zip(rows_of(tribus("option", "--file", file)[0]), csv.DictReader(open(file)), strict=True))
        check(worst <= 5.6e-5, f"Haug's 43 options: {worst}")
        print(f"Haug's 43 options: largest difference {worst:.2g}")


def garch(at):
    text, h, e = "r\n", 1.0, 0.5
    for i in range(600):
        h = 0.05 + 0.1 * e * e + 0.85 * h
        e = math.sqrt(h) * math.sin(i * i * 0.7 + i) * 1.4
        text += f"{e:.9f}\n"
    file = write(at("r.csv.gz"), text)
    fit = json.loads(tribus("garch", "--file", file, "--json")[0])
    check(fit["omega"] > 0 and 0 <= fit["alpha"] + fit["beta"] < 1, fit)
    series = rows_of(tribus("garch", "--file", file, "--series")[0])
    check(len(series) == 600 and all(float(r["variance"]) > 0 for r in series), "a variance for each row")
    last = float(series[-1]["variance"])
    shock = float(text.split()[-1]) - fit["mu"]
    check(near(fit["next_variance"], fit["omega"] + fit["alpha"] * shock ** 2 + fit["beta"] * last, 1e-9), fit)
    if DATA:
        fit = json.loads(tribus("garch", "--file", os.path.join(DATA, "garch/dem2gbp.csv.gz"), "--json")[0])
        for name, want, tolerance in (("mu", -.00619041, 1e-6), ("omega", .0107613, 1e-6), ("alpha", .153134, 1e-5),
                                      ("beta", .805974, 1e-5), ("log_likelihood", -1106.60788, 1e-5)):
            check(near(fit[name], want, tolerance), f"dem2gbp {name}: {fit}")
        print("dem2gbp:", fit)


def covariance(at):
    x = [(0.01, 0.02), (-0.03, 0.01), (0.02, -0.05), (0.00, 0.04)]
    file = write(at("x.csv"), "A,B\n" + "".join(f"{a},{b}\n" for a, b in x))
    mean = [sum(r[i] for r in x) / 4 for i in (0, 1)]
    s = [[sum((r[i] - mean[i]) * (r[k] - mean[k]) for r in x) / 4 for k in (0, 1)] for i in (0, 1)]

    def matrix(*args):
        out, err = tribus("covariance", "--file", file, *args)
        return [[float(r["A"]), float(r["B"])] for r in rows_of(out)], err

    same = lambda a, b: all(near(a[i][k], b[i][k], 1e-12) for i in (0, 1) for k in (0, 1))
    plain = [[v * 4 / 3 for v in row] for row in s]
    check(same(matrix("--method", "sample")[0], plain), "sample")
    check(same(matrix("--method", "pairwise")[0], plain), "pairwise without a hole")
    for method in ("ledoit-wolf", "constant-correlation"):
        got, err = matrix("--method", method)
        shrunk = float(err.split("shrinkage ")[1])
        mu = (s[0][0] + s[1][1]) / 2
        target = [[mu, 0], [0, mu]] if method == "ledoit-wolf" else s  # two assets have one correlation
        check(0 <= shrunk <= 1 and all(near(got[i][k], (1 - shrunk) * s[i][k] + shrunk * target[i][k], 1e-10)
                                       for i in (0, 1) for k in (0, 1)), f"{method}: {got} {shrunk}")
    want = [[x[0][i] * x[0][k] for k in (0, 1)] for i in (0, 1)]
    for r in x[1:]:
        want = [[0.9 * want[i][k] + 0.1 * r[i] * r[k] for k in (0, 1)] for i in (0, 1)]
    check(same(matrix("--method", "ewma", "--lambda", "0.9")[0], want), "ewma")
    ones = matrix("--method", "sample", "--correlation")[0]
    check(near(ones[0][0], 1) and near(ones[0][1], s[0][1] / math.sqrt(s[0][0] * s[1][1])), "correlation")
    hole = write(at("hole.csv"), "A,B\n0.1,0.2\n,0.3\n0.2,0.1\n0.3,0.6\n")
    for method in ("sample", "ewma", "ledoit-wolf"):
        _, err = tribus("covariance", "--file", hole, "--method", method, code=1)
        check("hole.csv" in err and len(err) > 20, err)
    tribus("covariance", "--file", hole, "--method", "pairwise")


def classify(at):
    trades = write(at("trades.csv.gz"), "time,price,volume\n" + "".join(
        f"{1.5e9 + i},{p},10\n" for i, p in enumerate((10, 10, 11, 11, 10.5, 10.5))))
    sides = lambda *args: [int(r["side"]) for r in rows_of(tribus("classify", "--file", trades, *args)[0])]
    check(sides() == [1, 1, 1, 1, -1, -1], "tick rule")
    quotes = write(at("quotes.csv"), "time,bid,ask\n1500000000,9,11\n1500000002.5,10,11\n1500000004.5,10,12\n")
    check(sides("--quotes", quotes, "--rule", "quote") == [0, 0, 1, 1, 0, -1], "quote rule")
    check(sides("--quotes", quotes) == [1, 1, 1, 1, -1, -1], "Lee-Ready")
    check(sides("--quotes", quotes, "--rule", "quote", "--lag-ms", "1000") == [0, 0, 1, 1, 0, 0], "a lag")
    bars = rows_of(tribus("classify", "--file", trades, "--rule", "bulk", "--bar-seconds", "2")[0])
    check(sum(float(b["volume"]) for b in bars) == 60 and
          all(0 <= float(b["bought"]) <= float(b["volume"]) for b in bars), bars)
    row = json.loads(tribus("classify", "--file", trades, "--json")[0].splitlines()[4])
    check(row == {"row": 5, "time": "1500000004.000000", "price": 10.5, "side": -1}, row)
    back = write(at("back.csv"), "time,bid,ask\n1500000009,9,11\n1500000002,10,11\n")
    check("back.csv: times go backwards" in tribus("classify", "--file", trades, "--quotes", back, code=1)[1], "order")
    if DATA:
        folder = os.path.join(DATA, "taq_highfrequency")
        out, _ = tribus("classify", "--file", f"{folder}/sampleTData.csv.gz", "--quotes", f"{folder}/sampleQData.csv.gz",
                        "--time", "DT", "--bid", "BID", "--ask", "OFR", "--lag-ms", "2000")
        total = sum(int(r["side"]) for r in rows_of(out))
        check(total == -1572, f"Lee-Ready on the TAQ sample: {total}")
        print("Lee-Ready on the TAQ sample: sum of directions", total)


def fi2010(at):
    names = ",".join(f"ask{i},asks{i},bid{i},bids{i}" for i in range(1, 11))
    book = lambda up: ",".join(f"{101 + i + up},{10 * i},{100 - i},{20 * i}" for i in range(1, 11))
    text = f"time,kind,side,{names}\n10,limit,-1,{book(0)}\n11.5,market,1,{book(1)}\n12,c,-1,{book(1)}\n"
    file = write(at("events.csv.gz"), text)
    out = rows_of(tribus("fi2010", "--file", file)[0])
    check(len(out) == 3 and len(out[0]) == 145, "144 features and the time")
    check([float(r["f40"]) for r in out] == [3, 4, 4] and float(out[0]["f50"]) == 100.5, "spread and mid")
    check(float(out[1]["f86"]) == 1 and float(out[1]["f87"]) == 0, "the ask rose by 1 in a second")
    check([float(r["f126"]) for r in out] == [1, 0, 0] and float(out[2]["f129"]) == 1, "events a second")
    check(float(out[0]["f79"]) == 9, "|bid1 - bid10|")
    row = json.loads(tribus("fi2010", "--file", file, "--published", "--json")[0].splitlines()[0])
    check(row["f79"] == 12, f"|ask1 - bid10|, as published: {row['f79']}")
    for wrong, words in ((text.replace("limit", "x"), "row 1: kind is limit, market or cancel"),
                         (text.replace("\n12,", "\n9,"), "row 3: time goes backwards"),
                         (text.replace("market,1,", "market,2,"), "row 2: kind is limit"),
                         ("time,kind,side,a\n1,limit,1,2\n", "1 columns beside time, kind and side")):
        _, err = tribus("fi2010", "--file", write(at("wrong.csv"), wrong), code=1)
        check(words in err, f"wanted '{words}', got {err}")


def ic(at):
    rows = [("d%d" % d, t, (d * 7 + i * 3) % 5 + 0.1 * i, 0) for d in range(4) for i, t in enumerate("VWXYZ")]
    file = write(at("f.csv.gz"), "date,ticker,good,bad,flat,earned\n" + "".join(
        f"{d},{t},{x},{-x ** 3},1,{2 * x - 1}\n" for d, t, x, _ in rows))
    table = {r["factor"]: r for r in rows_of(tribus("ic", "--file", file, "--return", "earned")[0])}
    check(set(table) == {"good", "bad", "flat"} and table["good"]["dates"] == "4", table)
    check(near(table["good"]["ic"], 1) and near(table["bad"]["rank_ic"], -1) and -1 < float(table["bad"]["ic"]) < -0.8,
          table)
    check(table["flat"]["ic"] == "" and table["flat"]["dates"] == "0", "a constant has no correlation")
    daily = rows_of(tribus("ic", "--file", file, "--return", "earned", "--factor", "good", "--daily")[0])
    check([r["date"] for r in daily] == ["d0", "d1", "d2", "d3"] and all(near(r["rank_ic"], 1) for r in daily), daily)
    prices = {t: 100.0 for t in "VWXYZ"}
    text = "date,ticker,tomorrow,close\n"
    for d in range(5):
        for i, t in enumerate("VWXYZ"):
            step = 0.01 * ((d * 3 + i * 2) % 5 - 2)
            text += f"d{d},{t},{step},{prices[t]:.12f}\n"
            prices[t] *= 1 + step
    out, _ = tribus("ic", "--file", "-", "--price", "close", stdin=text)
    row = rows_of(out)[0]
    check(row["factor"] == "tomorrow" and row["dates"] == "4" and near(row["ic"], 1) and near(row["rank_ic"], 1), row)
    alike = {r["factor"]: r for r in rows_of(tribus("ic", "--file", file, "--correlation")[0])}
    check(near(alike["good"]["earned"], 1) and near(alike["bad"]["bad"], 1) and alike["flat"]["good"] == "", alike)


def main():
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        for part in (options, garch, covariance, classify, fi2010, ic):
            part(at)
        few = write(at("few.csv"), "r\n1\n2\n")
        for args, code, words in (
                (("option",), 2, "needs --file CSV"), (("option", "--type", "swap", "--strike", "1"), 2, "call|put"),
                (("option", "--file", few), 1, "no column of numbers named strike"),
                (("garch",), 2, "--file CSV is missing"), (("garch", "--file", few), 1, "needs 20 returns"),
                (("covariance", "--file", few, "--method", "luck"), 2, "no such --method"),
                (("covariance", "--file", few, "--lambda", "1"), 2, "--lambda in (0, 1)"),
                (("classify", "--file", few, "--rule", "quote"), 2, "need --quotes"),
                (("classify", "--file", few), 1, "no column of numbers named time"),
                (("fi2010", "--file", few), 1, "no column of numbers named time"),
                (("ic", "--file", few), 2, "one of --return, --price"),
                (("ic", "--file", few, "--return", "r"), 1, "no column of text named date")):
            _, err = tribus(*args, code=code)
            check(words in err, f"{args}: wanted '{words}', got {err}")
        for name in ("option", "garch", "covariance", "classify", "fi2010", "ic"):
            check("--file CSV" in tribus(name, "--help")[0], name)
    print("tribus quant, models: done" + ("" if DATA else "; published values skipped: no TRIBUS_DATA"))


if __name__ == "__main__":
    main()
