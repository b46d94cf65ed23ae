#!/usr/bin/env python3
"""The main job, end to end, with real servers, a real model and real processes."""
import json

from platform_fixture import Platform, check, data, wait_for


def demo(platform, *args):
    done = platform.run("demo", "--json", *args, settings=True)
    check(done.returncode == 0, f"tribus demo: {done.stderr}{platform.logs()}")
    left = platform.processes()
    check(not left, f"processes left behind: {left}")
    return json.loads(done.stdout)


def check_pipeline(out):
    pipeline = out["pipeline"]
    check(pipeline["finished"] > 20, f"only {pipeline['finished']} runs")
    check(pipeline["failed"] == 0, f"{pipeline['failed']} runs failed")
    check(pipeline["zero_copy"] == 1.0, f"zero-copy ratio {pipeline['zero_copy']}")
    check(pipeline["bytes_copied"] == 0, f"{pipeline['bytes_copied']} bytes copied")
    check(pipeline["bytes_by_reference"] > 0, "nothing handed over by reference")
    check(0 < out["value_at_risk"] < out["expected_shortfall"] < 1,
          f"VaR {out['value_at_risk']}, ES {out['expected_shortfall']}")
    check(out["risk_metric"] > 20, f"{out['risk_metric']} risk metrics")


def simulator_at_its_default_rate_loses_no_message():
    with Platform() as platform:
        out = demo(platform, "--seconds", "8")
    check(out["lost"] == 0, f"{out['lost']} messages lost")
    check(out["marketdata_bus"] > 8 * 5000, f"{out['marketdata_bus']} market messages")
    check(out["engine_health"] >= 3 * 5, f"{out['engine_health']} health messages")
    check_pipeline(out)


def lobster_day_is_published_whole_and_as_the_reference_says():
    path = data("lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip")
    if path is None:
        print("skip: lobster data is absent")
        return
    with Platform() as platform:
        out = demo(platform, "--seconds", "20", "--feed", f"lobster:{path}")
    check(out["lost"] == 0, f"{out['lost']} messages lost")
    check(out["market_data"] == 147916, f"{out['market_data']} books, 147916 rows")
    check(abs(out["vwap"] - 569.439866) < 1e-6, f"VWAP {out['vwap']}")
    check_pipeline(out)


def status_shows_the_pipeline_and_where_its_stages_run():
    with Platform() as platform:
        platform.up()
        text = wait_for(lambda: "pipeline ml-risk" in (t := platform.run("status").stdout) and t,
                        60, "tribus status shows pipeline ml-risk")
        for word in ("stage forecast", "stage risk", "on host-neural", "on host-gpu"):
            check(word in text, f"'{word}' is not in: {text}")


simulator_at_its_default_rate_loses_no_message()
status_shows_the_pipeline_and_where_its_stages_run()
lobster_day_is_published_whole_and_as_the_reference_says()
