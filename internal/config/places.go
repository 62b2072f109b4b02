package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
)

// DefaultPath is the file that commands take when none is named and it is there.
const DefaultPath = "/etc/postroad/postroad.toml"

// Usual returns path if a file is there, and else "", the embedded default. What may not be looked
// at counts as there, so that nobody runs with another configuration than is meant.
func Usual(path string) string {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) ||
		errors.Is(err, syscall.ENOTDIR) {
		return ""
	}
	return path
}

// folderOf is where the relative names in a file count from; "": as they are.
func folderOf(file string) string {
	if file == "" {
		return ""
	}
	return filepath.Dir(file)
}

// from is a name of a file that counts from a folder.
func from(folder, name string) string {
	if folder == "" || name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(folder, name)
}

// filesFrom makes the names of files, which have the tag `path`, count from a folder; node.data_dir
// has been looked at before.
func (c *Config) filesFrom(folder string) {
	for f := range fields(reflect.TypeFor[Config]()) {
		switch v := reflect.ValueOf(c).Elem().FieldByIndex(f.Index); {
		case isTable(f.Type):
			tableFrom(folder, v)
		case isTables(f.Type):
			for i := range v.Len() {
				tableFrom(folder, v.Index(i))
			}
		}
	}
}

func tableFrom(folder string, table reflect.Value) {
	for k := range fields(table.Type()) {
		if k.Tag.Get("path") == "yes" {
			v := table.FieldByIndex(k.Index)
			v.SetString(from(folder, v.String()))
		}
	}
}

// oldDataDir finds a data directory that an earlier version, for which relative names counted from
// the directory it was started in, has left there: a node that began anew elsewhere would not have
// its mail.
func (k *checker) oldDataDir(written string) {
	if written == "" || filepath.IsAbs(written) || exists(k.Node.DataDir) || !exists(written) {
		return
	}
	if here, err := filepath.Abs(written); err == nil {
		k.bad("node.data_dir", "is "+k.Node.DataDir+", which is not there, and "+here+" is: names "+
			"count from the folder of the file now, not from where the node is started",
			"write the whole name of the one that is meant")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
