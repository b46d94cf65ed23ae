#!/usr/bin/python3
"""Which compute hosts run and why, and why a card is not there, as `tribus status` tells it.

Cards are those of tests/cuda/fake_driver.c, a driver of ours on host memory; MPS is a fake of
its control program, below.
"""
import os
import pathlib
import shutil
import signal
import stat

from platform_fixture import BUILD, Platform, check, wait_for

FAKE = str(BUILD / "tests" / "libcuda_fake.so")
QUIET = {f"{section}.enabled".replace(".", "__"): "false" for section in
         ("marketdata_bus", "engine_logic_bus", "neural_gpu_bus", "marketdata_engine",
          "ml_engine", "risk_engine")}


# NVIDIA's nvidia-cuda-mps-control as far as the agent uses it: -f runs until somebody says
# quit on the pipe, which the same program does when it reads that.
FAKE_MPS = """#!/bin/sh
pipe="$CUDA_MPS_PIPE_DIRECTORY/control"
if [ "$1" != -f ]; then
    read -r word
    echo "$word" >"$pipe"
    exit
fi
if [ -n "$FAKE_MPS_FAILS" ]; then
    echo "no card that can be shared"
    exit 1
fi
mkfifo "$pipe"
read -r word <"$pipe"
echo "asked to $word" >>"$FAKE_MPS_WORDS"
rm "$pipe"
"""


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


def mps_platform(fake=True, driver=True, **more):
    """Both domains on one fake card, gpu.mps set; the fake's words come to folder/words."""
    p = platform(1, neural_host__device="cuda:0", gpu_host__device="cuda:0", gpu__mps="true",
                 **more)
    if fake:
        program = pathlib.Path(p.folder) / "bin" / "nvidia-cuda-mps-control"
        program.parent.mkdir()
        program.write_text(FAKE_MPS)
        program.chmod(0o700)
        p.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    p.environment["FAKE_MPS_WORDS"] = f"{p.folder}/words"
    if driver:
        p.environment["TRIBUS_NVML"] = str(BUILD / "tests" / "libnvml_fake.so")
    return p


def rows(p):
    return {c["name"]: c for c in p.status()["children"]}


def under_mps_each_domain_has_a_host_and_the_agent_ends_it_in_order():
    with mps_platform() as p:
        p.up()
        status = p.status()
        check(status["compute"] == {"arrangement": "one host per domain under MPS",
                                    "why": "gpu.mps is set; both share cuda:0"},
              status["compute"])
        now = rows(p)
        check([now[n]["state"] for n in ("mps", "host-neural", "host-gpu", "host-both")] ==
              ["up", "up", "up", "done"], now)
        folder = pathlib.Path(p.folder) / "mps"
        check(stat.S_IMODE(folder.stat().st_mode) == 0o700, "others can reach the pipes")
        for name in ("mps", "host-neural", "host-gpu"):
            words = pathlib.Path(f"/proc/{now[name]['pid']}/environ").read_bytes()
            check(f"CUDA_MPS_PIPE_DIRECTORY={folder}\0".encode() in words, name)
        check(p.down().returncode == 0, "down")
        check(pathlib.Path(p.folder, "words").read_text() == "asked to quit\n", "no quit")
        check(not p.processes(), p.processes())


def when_mps_dies_it_and_its_hosts_begin_anew():
    with mps_platform() as p:
        p.up()
        before = rows(p)
        os.kill(before["mps"]["pid"], signal.SIGKILL)

        def all_new():
            now = rows(p)
            return all(now[n]["state"] == "up" and now[n]["restarts"] == 1 and
                       now[n]["pid"] != before[n]["pid"]
                       for n in ("mps", "host-neural", "host-gpu"))

        wait_for(all_new, 60, "MPS and both hosts run again")
        check(rows(p)["host-both"]["state"] == "done", rows(p))


def when_mps_fails_one_host_serves_both_domains_and_says_why():
    with mps_platform() as p:
        p.environment["FAKE_MPS_FAILS"] = "1"
        done = p.run("up", settings=True)
        check(done.returncode == 0, done.stderr)
        check("mps: no card that can be shared; going on without it" in done.stderr,
              done.stderr)
        status = p.status()
        check(status["compute"]["arrangement"] == "one host for both domains", status)
        check("MPS failed; see process mps" in status["compute"]["why"], status)
        now = rows(p)
        check(now["mps"]["text"] == "exit status 1: no card that can be shared", now)
        check(now["host-both"]["state"] == "up" and now["host-gpu"]["state"] == "done", now)


def without_program_or_driver_there_is_no_mps():
    if shutil.which("nvidia-cuda-mps-control") is None:
        with mps_platform(fake=False) as p:
            p.up()
            compute = p.status()["compute"]
            check(compute["arrangement"] == "one host for both domains", compute)
            check("nvidia-cuda-mps-control is not in PATH" in compute["why"], compute)
    with mps_platform(driver=False) as p:
        p.up()
        compute = p.status()["compute"]
        check("gpu.mps is set, but" in compute["why"] and "no-nvml" in compute["why"], compute)
        check(list(rows(p)) == ["host-both"], rows(p))


def each_domain_may_have_its_part_of_the_card():
    with mps_platform(gpu__neural_share="25") as p:
        p.up()
        for name, part in (("host-neural", "first"), ("host-gpu", "second")):
            log = pathlib.Path(p.folder, f"{name}.log").read_text()
            check(f"gpu.neural_share: the {part} part of cuda:0" in log, log)
    with platform(1, neural_host__device="cuda:0", gpu_host__device="cuda:0",
                  gpu__neural_share="25") as p:
        p.up()
        log = pathlib.Path(p.folder, "host-both.log").read_text()
        check("gpu.mps gives each domain a host" in log, log)


if __name__ == "__main__":
    without_a_driver_status_says_so()
    both_domains_on_a_card_are_one_host_and_status_says_why()
    two_cards_are_a_host_each()
    under_mps_each_domain_has_a_host_and_the_agent_ends_it_in_order()
    when_mps_dies_it_and_its_hosts_begin_anew()
    when_mps_fails_one_host_serves_both_domains_and_says_why()
    without_program_or_driver_there_is_no_mps()
    each_domain_may_have_its_part_of_the_card()
