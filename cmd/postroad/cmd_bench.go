package main

// benchCommands load a mail server and check what it did: docs/bench.md.
var benchCommands = []command{
	{name: "send", args: "[--connections N] [--messages N] [--for TIME] [--rate RATE] [flags] HOST:PORT", short: "send mail, and measure how it is taken", run: runBenchSend, long: benchSendHelp},
	{name: "sink", args: "[--listen ADDRESS] [--dns ADDRESS] [--config FILE] [--record FILE]", short: "take mail, and write down what came", run: runBenchSink, long: benchSinkHelp},
	{name: "run", args: "SCENARIO ... | all [--short] [--only PATTERN] [--system NAMES] [--out FOLDER] [--strict]", short: "measure and compare systems, and check what they did", run: runBenchRun, long: benchRunText()},
	{name: "check", args: "[--order connection|recipient] [--json] SENT RECEIVED", short: "compare the records of both ends", run: runBenchCheck, long: benchCheckHelp},
	{name: "dump", args: "RECORD", short: "print a record", run: runBenchDump, long: benchDumpHelp},
}
