package main

import (
	"context"
	"errors"
	"io"

	"github.com/postroad/postroad/internal/config"
)

var errOneNode = errors.New("this build runs one node only")

// recoverCluster tells which groups have lost their majority and, with acceptLoss, lets them go on with what is here.
func recoverCluster(ctx context.Context, cfg *config.Config, acceptLoss bool, tell func(string)) error {
	return errOneNode
}

// restoreCluster makes the empty data directory of cfg the first node of the cluster that backup is of.
func restoreCluster(ctx context.Context, cfg *config.Config, backup io.Reader) error {
	return errOneNode
}
