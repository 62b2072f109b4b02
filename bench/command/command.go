// Package command is the command line of the bench: `postroad bench`.
package command

import (
	"github.com/postroad/postroad/internal/cli"
)

// Commands load a mail server and check what it did: docs/bench.md.
var Commands = []cli.Command{
	{Name: "send",
		Args:  "[--connections N] [--messages N] [--for TIME] [--rate RATE] [flags] HOST:PORT",
		Short: "send mail, and measure how it is taken", Run: runSend, Long: sendHelp},
	{Name: "sink", Args: "[--listen ADDRESS] [--dns ADDRESS] [--config FILE] [--record FILE]",
		Short: "take mail, and write down what came", Run: runSink, Long: sinkHelp},
	{Name: "run",
		Args: "SCENARIO ... | all [--short] [--only PATTERN] [--system NAMES] [--out FOLDER] " +
			"[--strict]", Short: "measure and compare systems, and check what they did",
		Run: runScenarios, Long: runText()},
	{Name: "check", Args: "[--order connection|recipient] [--json] SENT RECEIVED",
		Short: "compare the records of both ends", Run: runCheck, Long: checkHelp},
	{Name: "dump", Args: "RECORD", Short: "print a record", Run: runDump, Long: dumpHelp},
}
