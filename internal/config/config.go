// Package config is the configuration file: its sections as documented structs (types*.go), its
// values with their units (values.go), and what reads, checks, shows and explains them.
//
// The structs are the one place where a key is described: Load knows the keys from the toml tags,
// Reference takes the text of docs/configuration.md from the comments and the values of Default,
// and a test keeps the committed page current. A key's tags: `toml` its name, `enum` the values it
// may have, `path:"yes"` when it names a file, whose name counts from the folder of the
// configuration, `default` what the reference says of a default that depends on the machine, and
// `reload:"yes"` when SIGHUP may change it. A section has `shared:"yes"` when it may be pushed to
// all nodes of a cluster (shared.go), and a key in it `shared:"no"` when that stays the node's own.
//
// Load reads in three steps. It walks the document's syntax tree beside the types and finds unknown
// keys, values without a unit and the like, each with its line and column; only a document without
// such problems is decoded, by go-toml; then Check finds combinations that cannot work. Road not
// taken: decoding in go-toml's strict mode alone. It takes the number 5 for a Duration without
// complaint, and reports one problem at a time.
package config

// Config is the whole configuration. A Config from Load or Default has every default filled in and
// is read-only.
type Config struct {
	Node         Node               `toml:"node"`
	Listeners    []Listener         `toml:"listener"`
	TLS          TLS                `toml:"tls"`
	Certificates []Certificate      `toml:"certificate"`
	Relay        Relay              `toml:"relay" shared:"yes"`
	Local        Local              `toml:"local" shared:"yes"`
	Policy       Policy             `toml:"policy" shared:"yes"`
	LDAP         LDAP               `toml:"ldap" shared:"yes"`
	Limits       Limits             `toml:"limits" shared:"yes"`
	Delivery     Delivery           `toml:"delivery"`
	DNS          DNS                `toml:"dns"`
	Routes       []Route            `toml:"route" shared:"yes"`
	Retry        Retry              `toml:"retry" shared:"yes"`
	Shaping      map[string]Shaping `toml:"shaping" shared:"yes"`
	Admin        Admin              `toml:"admin"`
	Events       Events             `toml:"events"`
	Telemetry    Telemetry          `toml:"telemetry"`
	Cluster      Cluster            `toml:"cluster"`

	// where says at which line and column of the file each key stands.
	where positions
	// written is node.data_dir as the file has it.
	written string
	// waiting are the keys whose values in the file wait for a restart (Reloaded).
	waiting map[string]bool
}
