package admin

import (
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/config"
)

// The directory and the configuration each have their own Rate, of the same two numbers.
func directoryRate(r config.Rate) directory.Rate { return directory.Rate{N: r.N, Per: r.Per} }
func wireRate(r directory.Rate) config.Rate      { return config.Rate{N: r.N, Per: r.Per} }
