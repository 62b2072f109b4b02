package archive

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Dovecot's plugin zlib (mail_compress in 2.4) keeps the files of a Maildir compressed under the
// names that they have anyway, so only their first octets tell. No header of a message begins with
// any of these.

// compression is a way to compress files.
type compression struct {
	name   string
	how    string // a person unpacks it
	magics []string
	open   func(io.Reader) (io.ReadCloser, error) // nil: it is refused
	found  finding                                // as which it is refused
}

// maxMagic bounds the octets that tell a compression.
const maxMagic = 16

var compressions = []compression{
	{name: "gzip", how: "gzip -dc FILE", magics: []string{"\x1f\x8b"},
		open: func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{name: "bzip2", how: "bzip2 -dc FILE", magics: bzip2Magics(),
		open: func(r io.Reader) (io.ReadCloser, error) {
			return io.NopCloser(bzip2.NewReader(r)), nil
		}},
	{name: "zstd", how: "zstd -dc FILE", magics: []string{"\x28\xb5\x2f\xfd"}, open: openZstd},
	{name: "xz", how: "xz -dc FILE", magics: []string{"\xfd7zXZ\x00"}, found: foundXZ},
	{name: "lz4", how: "lz4 -dc FILE", magics: []string{"\x04\x22\x4d\x18"}, found: foundLZ4},
	// Dovecot does not write LZ4's frames but chunks of its own, which only Dovecot reads.
	{name: "lz4", how: "with Dovecot", magics: []string{"Dovecot-LZ4\x0d\x2a\x9b\xc5"},
		found: foundDovecotLZ4},
}

// bzip2Magics are what a file can begin with: a level, and the mark of a block, or of the end in an
// empty file. "BZh9" alone could be text.
func bzip2Magics() (magics []string) {
	for level := '1'; level <= '9'; level++ {
		magics = append(magics, "BZh"+string(level)+"1AY&SY",
			"BZh"+string(level)+"\x17\x72\x45\x38\x50\x90")
	}
	return magics
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	// One goroutine, since most files are small. The memory is that of the window which the file
	// asks for. The library bounds it by 512 MiB.
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(MaxMessage))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// compressionOf returns how a file with these first octets is compressed, nil when it is not.
func compressionOf(head []byte) *compression {
	for i := range compressions {
		for _, magic := range compressions[i].magics {
			if bytes.HasPrefix(head, []byte(magic)) {
				return &compressions[i]
			}
		}
	}
	return nil
}

// unpack returns the content of a compressed file. A few octets may unpack to any number, so it
// stops at one over the bound.
func (c *compression) unpack(content []byte, most int64) ([]byte, error) {
	r, err := c.open(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err = io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(content)) > most {
		err = errTooLarge
	}
	return content, err
}
