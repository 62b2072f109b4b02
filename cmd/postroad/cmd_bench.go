package main

import (
	"github.com/postroad/postroad/internal/cli"
)

// benchCommands load a mail server and check what it did: docs/bench.md.
var benchCommands = []cli.Command{
	{Name: "send", Args: "[--connections N] [--messages N] [--for TIME] [--rate RATE] [flags] HOST:PORT", Short: "send mail, and measure how it is taken", Run: runBenchSend, Long: benchSendHelp},
	{Name: "sink", Args: "[--listen ADDRESS] [--dns ADDRESS] [--config FILE] [--record FILE]", Short: "take mail, and write down what came", Run: runBenchSink, Long: benchSinkHelp},
	{Name: "run", Args: "SCENARIO ... | all [--short] [--only PATTERN] [--system NAMES] [--out FOLDER] [--strict]", Short: "measure and compare systems, and check what they did", Run: runBenchRun, Long: benchRunText()},
	{Name: "check", Args: "[--order connection|recipient] [--json] SENT RECEIVED", Short: "compare the records of both ends", Run: runBenchCheck, Long: benchCheckHelp},
	{Name: "dump", Args: "RECORD", Short: "print a record", Run: runBenchDump, Long: benchDumpHelp},
}
