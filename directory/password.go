package directory

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/scram"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// Cost is what one argon2id hash takes.
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultCost is OWASP's second choice for argon2id: 19 MiB and about 20 ms of one core.
var DefaultCost = Cost{MemoryKiB: 19 << 10, Passes: 2, Lanes: 1}

// Bounds of a hash that we are willing to verify: one from a damaged or imported record must not
// take the machine.
const (
	maxMemoryKiB = 256 << 10
	maxPasses    = 16
	maxLanes     = 8
	minSalt      = 8
	maxSalt      = 64
	minKey       = 16
	maxKey       = 64

	maxPassword = 1000 // octets

	// ScramIterations of new keys: RFC 7677 4 asks for at least 4096; the client's CPU pays.
	ScramIterations = 15_000
)

var (
	errPassword = wrongf("a password has 1 to 1000 octets of UTF-8 without control characters")
	errHash     = wrongf("not a hash that is taken here, or beyond its bounds")
)

// HashPassword returns the PHC string of a new random salt and password.
func HashPassword(password string, cost Cost) (string, error) {
	prepared, ok := prepare(password)
	if !ok {
		return "", errPassword
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	key := argon2.IDKey([]byte(prepared), salt, cost.Passes, cost.MemoryKiB, cost.Lanes, 32)
	return fmt.Sprintf(
		"$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version,
		cost.MemoryKiB,
		cost.Passes,
		cost.Lanes,
		base64.RawStdEncoding.EncodeToString(salt),
		base64.RawStdEncoding.EncodeToString(key),
	), nil
}

// VerifyPassword reports whether hash is that of password: argon2id as a PHC string, or one from
// elsewhere that ParseHash took. It takes the hash's cost in time and memory; an error says that
// the hash itself is bad.
func VerifyPassword(hash, password string) (bool, error) {
	if !strings.HasPrefix(hash, "$argon2id$") {
		return verifyCrypt(hash, password)
	}
	cost, salt, want, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	prepared, ok := prepare(password)
	got := argon2.IDKey(
		[]byte(prepared),
		salt,
		cost.Passes,
		cost.MemoryKiB,
		cost.Lanes,
		uint32(len(want)),
	)
	return subtle.ConstantTimeCompare(got, want) == 1 && ok, nil
}

// CheckPassword says what is wrong with a password that is to be hashed: some mail program could
// not send it.
func CheckPassword(password string) error {
	if _, ok := prepare(password); !ok ||
		!utf8.ValidString(password) { // which prepare lets through
		return errPassword
	}
	return nil
}

// prepare brings the ways to type a password to one form (RFC 8265 4.2, OpaqueString).
func prepare(password string) (string, bool) {
	if password == "" || len(password) > maxPassword {
		return "", false
	}
	p, err := precis.OpaqueString.String(password)
	return p, err == nil
}

// parsePHC reads $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func parsePHC(hash string) (cost Cost, salt, key []byte, err error) {
	f := strings.Split(hash, "$")
	if len(hash) > 300 || len(f) != 6 || f[0] != "" || f[1] != "argon2id" ||
		f[2] != "v="+strconv.Itoa(argon2.Version) {
		return cost, nil, nil, errHash
	}
	params := strings.Split(f[3], ",")
	if len(params) != 3 {
		return cost, nil, nil, errHash
	}
	m, ok1 := parameter(params[0], "m=", maxMemoryKiB)
	t, ok2 := parameter(params[1], "t=", maxPasses)
	p, ok3 := parameter(params[2], "p=", maxLanes)
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(f[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(f[5])
	switch {
	case !ok1 || !ok2 || !ok3 || m < 8*p, err1 != nil, err2 != nil,
		len(salt) < minSalt, len(salt) > maxSalt, len(key) < minKey, len(key) > maxKey:
		return cost, nil, nil, errHash
	}
	return Cost{MemoryKiB: m, Passes: t, Lanes: uint8(p)}, salt, key, nil
}

func parameter(s, name string, limit uint32) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n > 0 && n <= uint64(limit)
}

// NewScram derives the keys that SCRAM-SHA-256 needs. They are worth less protection than the
// argon2id hash (PBKDF2), which is why only users who ask for SCRAM have them.
func NewScram(name, password string) (*Scram, error) {
	client, err := scram.SHA256.NewClient(name, password, "")
	if err != nil {
		return nil, fmt.Errorf("preparing the password for SCRAM: %w", err)
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	keys, err := client.GetStoredCredentialsWithError(
		scram.KeyFactors{Salt: string(salt), Iters: ScramIterations},
	)
	if err != nil {
		return nil, fmt.Errorf("deriving SCRAM keys: %w", err)
	}
	return &Scram{
		Salt:       salt,
		Iterations: ScramIterations,
		StoredKey:  keys.StoredKey,
		ServerKey:  keys.ServerKey,
	}, nil
}
