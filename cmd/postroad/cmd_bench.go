package main

// benchCommands load a mail server and check what it did: docs/bench.md.
var benchCommands = []command{
	{name: "sink", args: "[--listen ADDRESS] [--dns ADDRESS] [--config FILE] [--record FILE]", short: "take mail, and write down what came", run: runBenchSink, long: benchSinkHelp},
}
