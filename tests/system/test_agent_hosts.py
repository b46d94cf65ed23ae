#!/usr/bin/python3
"""Which compute hosts run and why, and why a card is not there, as `tribus status` tells it.

Cards are those of tests/cuda/fake_driver.c: a driver of ours on host memory.
"""
from platform_fixture import BUILD, Platform, check

FAKE = str(BUILD / "tests" / "libcuda_fake.so")
QUIET = {f"{section}.enabled".replace(".", "__"): "false" for section in
         ("marketdata_bus", "engine_logic_bus", "neural_gpu_bus", "marketdata_engine",
          "ml_engine", "risk_engine")}


def platform(cards, **settings):
    """Hosts only; cards of the fake driver, None: no driver at all."""
    p = Platform(**QUIET, **settings)
    p.environment["TRIBUS_CUDA_DRIVER"] = FAKE if cards else f"{p.folder}/no-driver.so"
    p.environment["TRIBUS_NVML"] = f"{p.folder}/no-nvml.so"
    p.environment["TRIBUS_FAKE_CARDS"] = str(cards)
    return p


def cuda_rows(status):
    return [d for d in status["devices"] if d["name"].startswith("cuda")]


def without_a_driver_status_says_so():
    with platform(0) as p:
        p.up()
        status = p.status()
        row, = cuda_rows(status)
        check(not row["present"], row)
        check("no-driver.so: no NVIDIA driver" in row["detail"], row)
        check(status["compute"]["arrangement"] == "one host per domain", status["compute"])
        check("both on the CPU" in status["compute"]["why"], status["compute"])
        hosts = [c["name"] for c in status["children"] if c["kind"] == "host"]
        check(hosts == ["host-neural", "host-gpu"], hosts)
        text = p.run("status").stdout
        check("\ncompute    one host per domain: both on the CPU" in text, text)
        check("no NVIDIA driver" in text, text)


def both_domains_on_a_card_are_one_host_and_status_says_why():
    with platform(1, neural_host__device="cuda:0", gpu_host__device="cuda") as p:
        p.up()
        status = p.status()
        row, = cuda_rows(status)
        check(row["present"] and row["name"] == "cuda:0", row)
        check(status["compute"]["arrangement"] == "one host for both domains",
              status["compute"])
        check("take turns" in status["compute"]["why"], status["compute"])
        check([c["name"] for c in status["children"]] == ["host-both"], status["children"])


def two_cards_are_a_host_each():
    with platform(2, neural_host__device="cuda:0", gpu_host__device="cuda:1") as p:
        p.up()
        status = p.status()
        check([d["name"] for d in cuda_rows(status)] == ["cuda:0", "cuda:1"], status)
        check(status["compute"] == {"arrangement": "one host per card",
                                    "why": "neural on cuda:0, gpu on cuda:1"},
              status["compute"])


if __name__ == "__main__":
    without_a_driver_status_says_so()
    both_domains_on_a_card_are_one_host_and_status_says_why()
    two_cards_are_a_host_each()
