"""Worked examples of every command: shown by its ``--help``, and held to the command line by a test."""

EXAMPLES: dict[str, dict[str, str]] = {
    "run": {
        "rnnbench run --quick": "the RNN, LSTM and GRU on small sizes: minutes",
        "rnnbench run --budget 10m": "what fits ten minutes on this machine, the most valuable first",
        "rnnbench run --cells lstm,gru,mine.py:leaky --tasks adding,copy --output reports/mine": "your own selection",
        "rnnbench run --quick --tasks forecast:prices.csv:close --window 10": "the next value of a column of your own",
    },
    "compare": {
        "rnnbench compare lstm gru mgu --match parameters --task adding --length 200": "three cells of one size",
        "rnnbench compare lstm gru mine.py:leaky --quick --baseline mine.py:leaky": "your own cell against two others",
        "rnnbench compare lstm gru --task adding --against old.sqlite": "and what has changed since an older run",
    },
    "merge": {
        "rnnbench merge laptop.sqlite server.sqlite --output both.sqlite": "results of two machines in one file",
    },
    "export": {
        "rnnbench export reports/latest --format parquet": "a table for each kind of record, in reports/latest/export",
        "rnnbench export reports/latest --kind trial --output trials.csv": "the trials alone, in one file",
    },
    "sweep": {
        "rnnbench sweep --preset small": "a fair comparison in 20 minutes",
        "rnnbench sweep --preset standard --print-plan": "a plan to start one of your own from",
        "rnnbench sweep mine.toml --dry-run": "what it would train, and how long that would take",
        "rnnbench sweep mine.toml --budget 8h": "as far as it gets in a night; the same command goes on",
    },
    "speed": {
        "rnnbench speed --cells lstm,gru --shapes training": "two cells in training, against every library installed",
        "rnnbench speed --shapes 100x32x128x128 --peers torch --max-seconds 2": "T x B x I x H of your own",
    },
    "check": {
        "rnnbench check mine.py:leaky": "gradient, kernels and the laws of a recurrence, each with its error",
        "rnnbench check lstm --json": "the same as JSON; exit code 1 where a check fails",
    },
    "gradients": {
        "rnnbench gradients --cells lstm,gru,indrnn --length 200": "as cells start, on noise",
        "rnnbench gradients --cells gru --task adding --seed 1": "and after training on a task",
    },
    "horizon": {
        "rnnbench horizon --cells lstm,gru --tasks adding": "the longest T at which each solves adding in 800 steps",
        "rnnbench horizon --cells gru,mine.py:leaky --tasks copy --steps 2000 --longest 200": "another budget",
    },
    "ci": {
        "rnnbench ci main": "the checkout's last commit against main, by the whole suite",
        "rnnbench ci v1.0 v1.1 --bench speed --bench memory": "two tags, by what matches either",
        "rnnbench ci main --python same --bench 'time_forward.*lstm'": "without new environments",
    },
    "list": {
        "rnnbench list": "cells, tasks, engines and peers",
        "rnnbench list tasks --json": "tasks alone, as JSON",
    },
    "info": {
        "rnnbench info gru": "equations, parameters, cost and source",
        "rnnbench info mine.py:leaky --input 64 --hidden 256": "counts of your own cell at your own sizes",
    },
    "report": {
        "rnnbench report reports/latest": "once more from the stored results",
        "rnnbench report reports/asv": "from asv's results",
    },
    "doctor": {
        "rnnbench doctor": "the machine, engines and peers, and the configuration in force",
        "rnnbench doctor --limits": "also what this machine can do at most",
    },
}
