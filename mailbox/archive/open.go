package archive

import (
	"io"
	"os"
)

// FileReader reads an archive that other programs may have written.
type FileReader interface {
	Reader
	// Report tells what was left out, refused or in doubt up to the last message.
	Report() *Report
}

var (
	_ FileReader = (*MboxReader)(nil)
	_ FileReader = (*MaildirReader)(nil)
)

// Open opens an mbox or a Maildir, or with "-" the mbox on standard input. Folders are told before
// their messages. Who opens calls end when no more is read.
func Open(
	path string, stdin io.Reader, folder func(name string) error,
) (r FileReader, end func() error, err error) {
	if path == "-" {
		return NewMboxReader(stdin), func() error { return nil }, nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		md, err := NewMaildirReader(path)
		if err != nil {
			return nil, nil, err
		}
		md.OnFolder = folder
		return md, func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return NewMboxReader(f), f.Close, nil
}
