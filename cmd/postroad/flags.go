package main

import (
	"encoding"
	"strconv"

	"github.com/postroad/postroad/internal/config"
)

// The kinds of flags whose absence means something, for flag.Func.

func text(to **string) func(string) error {
	return func(s string) error { *to = &s; return nil }
}

// more collects values of a flag that may be repeated; the empty one stands for none.
func more(to *[]string) func(string) error {
	return func(s string) error {
		if *to == nil {
			*to = []string{}
		}
		if s != "" {
			*to = append(*to, s)
		}
		return nil
	}
}

func yes(to **bool, means bool) func(string) error {
	return func(s string) error {
		b, err := strconv.ParseBool(s)
		b = b == means
		*to = &b
		return err
	}
}

func value[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](to *P) func(string) error {
	return func(s string) error {
		*to = new(T)
		return (*to).UnmarshalText([]byte(s))
	}
}

func size(to **config.Size) func(string) error {
	return func(s string) error {
		if s == "0" {
			s = "0B"
		}
		return value(to)(s)
	}
}
