package directory

import (
	"encoding/json"
	"fmt"
)

// Describe says for operators what a command changes, without secrets; "": what nobody asked for.
func Describe(data []byte) string {
	if Understands(data) != nil {
		return "a change that this program does not know"
	}
	kind := commandType(data[1])
	words := map[commandType]string{
		cmdAdd: "user %s is added", cmdPut: "user %s is changed", cmdRemove: "user %s is removed",
		cmdAddDomain: "domain %s is added", cmdPutDomain: "domain %s is changed",
		cmdRemoveDomain: "domain %s is removed",
		cmdAddAlias:     "alias %s is added", cmdPutAlias: "alias %s is changed",
		cmdRemoveAlias: "alias %s is removed",
		cmdAddKey:      "a key is added for %s", cmdPutKey: "the key %s is changed",
		cmdRemoveKey: "the key %s is removed",
		cmdCommit:    "users that a directory server has are taken over",
	}[kind]
	if rowCommands[kind].what == 0 {
		return words
	}
	var name string
	var row struct{ Name, Address string }
	if json.Unmarshal(data[2:], &name) != nil {
		_ = json.Unmarshal(data[2:], &row) // what it cannot be read from has no name
		name = row.Name + row.Address
	}
	return fmt.Sprintf(words, name)
}
