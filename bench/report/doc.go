// Package report is what a run of the bench has found, and its three forms: JSON for programs,
// Markdown for reading in place, and one HTML page that needs nothing else, with plots, for
// everybody.
package report
