// Package run runs the bench's scenarios: it starts the systems under test, loads them, takes their
// figures and checks what became of each message.
//
//   - Scenario is a file: cells, systems, bars (scenario.go). Those that come with the program are
//     in bench/scenarios.
//   - A stage is one system at one point of a cell, with a receiving server and a name server of
//     its own (stage.go); nodes are this program's processes (nodes.go), all other systems
//     bench/peers'.
//   - Run has the systems of a cell run in alternation, round after round, so that what disturbs
//     the machine disturbs all of them (run.go).
//   - through, drain and kill are what a measurement can be (through.go, kinds.go).
//
// A figure counts only when everything that was acknowledged arrived, once and unchanged:
// record.Check says so after every measurement, and what it finds is a fault of the cell.
//
// A system is charged the processor time of all of its processes from the first connection
// until 0.3 s after the last message arrived, so that what is put away afterwards counts; the rate
// ends with the last arrival. Before each measurement what others have left for the disk is
// written.
package run
