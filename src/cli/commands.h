/* commands.h -- the entry of every command; main.c and bench.c list them. */
#ifndef TRIBUS_CLI_COMMANDS_H
#define TRIBUS_CLI_COMMANDS_H

#include "cli/cli.h"

int tribus_cli_bench(int argc, char **argv);
int tribus_cli_bench_pipeline(int argc, char **argv);
int tribus_cli_bench_hybrid(int argc, char **argv);
int tribus_cli_bench_quant(int argc, char **argv);
int tribus_cli_bench_bus(int argc, char **argv);
int tribus_cli_bench_cuda(int argc, char **argv);
int tribus_cli_bench_fabric(int argc, char **argv);
int tribus_cli_bench_handoff(int argc, char **argv);
int tribus_cli_demo(int argc, char **argv);
int tribus_cli_doctor(int argc, char **argv);
int tribus_cli_down(int argc, char **argv);
int tribus_cli_engine(int argc, char **argv);
int tribus_cli_pipeline(int argc, char **argv);
int tribus_cli_host(int argc, char **argv);
int tribus_cli_hosts(int argc, char **argv);
int tribus_cli_publish(int argc, char **argv);
int tribus_cli_quant(int argc, char **argv);
int tribus_cli_quant_backtest(int argc, char **argv);
int tribus_cli_quant_classify(int argc, char **argv);
int tribus_cli_quant_covariance(int argc, char **argv);
int tribus_cli_quant_factors(int argc, char **argv);
int tribus_cli_quant_fi2010(int argc, char **argv);
int tribus_cli_quant_garch(int argc, char **argv);
int tribus_cli_quant_ic(int argc, char **argv);
int tribus_cli_quant_indicators(int argc, char **argv);
int tribus_cli_quant_optimise(int argc, char **argv);
int tribus_cli_quant_option(int argc, char **argv);
int tribus_cli_quant_performance(int argc, char **argv);
int tribus_cli_quant_stress(int argc, char **argv);
int tribus_cli_status(int argc, char **argv);
int tribus_cli_record(int argc, char **argv);
int tribus_cli_replay(int argc, char **argv);
int tribus_cli_tap(int argc, char **argv);
int tribus_cli_top(int argc, char **argv);
int tribus_cli_up(int argc, char **argv);

#endif
