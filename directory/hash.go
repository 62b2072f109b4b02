package directory

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-crypt/x/crypt"
	"github.com/xdg-go/scram"
	"golang.org/x/crypto/bcrypt"
)

// Hashes of other systems are taken as they are: argon2id as PHC strings, crypt(3)'s bcrypt,
// SHA-512 and SHA-256, and those of hash_kinds.go. New ones are argon2id.

// Bounds of the work that a hash from elsewhere may ask for, about a second of one core.
const (
	maxBcryptCost      = 14
	minShaRounds       = 1000
	maxShaRounds       = 1_000_000
	minScramIterations = 4096 // RFC 7677 4
	maxScramIterations = 1_000_000
)

var (
	bcryptForm = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)
	shaForm    = regexp.MustCompile(
		`^\$([56])\$(?:rounds=([1-9][0-9]{3,6})\$)?([!-#%-9;-~]{1,16})\$([./A-Za-z0-9]+)$`,
	)
)

// schemes are the names that hashes have in front ({CRYPT} and so on, as Dovecot writes them), and
// how what follows begins.
var schemes = map[string][]string{
	"ARGON2ID": {
		"$argon2id$",
	}, "CRYPT": {"$2", "$5$", "$6$", "$y$"},
	"BLF-CRYPT": {"$2"}, "SHA512-CRYPT": {"$6$"}, "SHA256-CRYPT": {"$5$"},
}

const scramScheme = "SCRAM-SHA-256"

// ParseHash reads a hash with its scheme in front: {ARGON2ID}, {CRYPT}, {BLF-CRYPT},
// {SHA512-CRYPT}, {SHA256-CRYPT}, {SCRAM-SHA-256}, {SSHA}, {SSHA256}, {SSHA512}, {PBKDF2},
// {PBKDF2-SHA256} or {PBKDF2-SHA512}; a hash that begins with "$" says by itself what it is. It
// returns what User.Hash or User.Scram keep.
func ParseHash(s string) (stored string, keys *Scram, err error) {
	scheme, rest := "", s
	if strings.HasPrefix(s, "{") {
		var ok bool
		if scheme, rest, ok = strings.Cut(s[1:], "}"); !ok {
			return "", nil, wrongf("the scheme of the hash has no closing brace")
		}
		scheme = strings.ToUpper(scheme)
	}
	if scheme == scramScheme || scheme == "" && strings.HasPrefix(rest, scramScheme+"$") {
		keys, err = parseScram(strings.TrimPrefix(rest, scramScheme+"$"))
		return "", keys, err
	}
	if stored, ok := laterForm(scheme, rest); ok {
		return stored, nil, checkHash(stored)
	}
	if begins, known := schemes[scheme]; scheme != "" && (!known || !hasAnyPrefix(rest, begins)) {
		return "", nil, wrongf(
			"{%.20s} is not a scheme that is taken here, or the hash is not of that scheme: "+
				"use ARGON2ID, SCRAM-SHA-256, PBKDF2-SHA256, PBKDF2-SHA512, SSHA, SSHA256, "+
				"SSHA512, or CRYPT with $2y$, $5$, $6$ or $y$",
			scheme,
		)
	}
	return rest, nil, checkHash(rest)
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// checkHash says whether VerifyPassword would take a hash.
func checkHash(stored string) error {
	switch {
	case strings.HasPrefix(stored, "$argon2id$"):
		_, _, _, err := parsePHC(stored)
		return err
	case strings.HasPrefix(stored, "$2"):
		return checkBcrypt(stored)
	case isLater(stored):
		_, err := parserOf(stored)(stored)
		return err
	}
	_, err := parseSha(stored)
	return err
}

func checkBcrypt(stored string) error {
	m := bcryptForm.FindStringSubmatch(stored)
	if m == nil {
		return wrongf("not a bcrypt hash: $2y$, two digits, $ and 53 characters")
	}
	if cost, _ := strconv.Atoi(m[1]); cost < bcrypt.MinCost || cost > maxBcryptCost {
		return wrongf("the cost of a bcrypt hash is %d to %d here", bcrypt.MinCost, maxBcryptCost)
	}
	return nil
}

// shaCrypt is a hash of crypt(3) with SHA-512 or SHA-256, taken apart.
type shaCrypt struct {
	hash   func() hash.Hash
	rounds int
	salt   string
	want   string
}

func parseSha(stored string) (c shaCrypt, err error) {
	m := shaForm.FindStringSubmatch(stored)
	if m == nil {
		return c, errHash
	}
	c = shaCrypt{hash: sha512.New, rounds: 5000, salt: m[3], want: m[4]}
	size := 86
	if m[1] == "5" {
		c.hash, size = sha256.New, 43
	}
	if m[2] != "" {
		c.rounds, _ = strconv.Atoi(m[2])
	}
	switch {
	case len(c.want) != size:
		return c, errHash
	case c.rounds < minShaRounds || c.rounds > maxShaRounds:
		return c, wrongf("a hash has %d to %d rounds here", minShaRounds, maxShaRounds)
	}
	return c, nil
}

// verifyCrypt is VerifyPassword for hashes from elsewhere. They were made of the password's octets
// as they came.
func verifyCrypt(stored, password string) (bool, error) {
	if len(password) > maxPassword {
		password = ""
	}
	if isLater(stored) {
		verify, err := parserOf(stored)(stored)
		return err == nil && verify([]byte(password)) && password != "", err
	}
	if strings.HasPrefix(stored, "$2") {
		if err := checkBcrypt(stored); err != nil {
			return false, err
		}
		return bcrypt.CompareHashAndPassword([]byte(stored), []byte(password)) == nil &&
			password != "", nil
	}
	c, err := parseSha(stored)
	if err != nil {
		return false, err
	}
	key := crypt.KeySHACrypt(
		c.hash,
		[]byte(password),
		[]byte(c.salt),
		c.rounds,
	) // in the base 64 of crypt(3)
	return subtle.ConstantTimeCompare(key, []byte(c.want)) == 1 && password != "", nil
}

// parseScram reads "iterations,salt,stored key,server key" as Dovecot writes it, or
// "iterations:salt$stored key:server key" (RFC 5803 2).
func parseScram(s string) (*Scram, error) {
	f := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ':' || r == '$' })
	if len(f) != 4 || len(s) > 400 {
		return nil, wrongf(
			"SCRAM-SHA-256 keys are ITERATIONS,SALT,STOREDKEY,SERVERKEY, the last three in base 64",
		)
	}
	keys := &Scram{}
	n, err := strconv.Atoi(f[0])
	if err != nil || n < minScramIterations || n > maxScramIterations {
		return nil, wrongf(
			"SCRAM keys have %d to %d iterations here",
			minScramIterations,
			maxScramIterations,
		)
	}
	keys.Iterations = n
	for i, to := range []*[]byte{&keys.Salt, &keys.StoredKey, &keys.ServerKey} {
		b, err := base64.StdEncoding.Strict().DecodeString(f[i+1])
		if err != nil || i == 0 && (len(b) < minSalt || len(b) > maxSalt) ||
			i > 0 && len(b) != sha256.Size {
			return nil, wrongf(
				"the salt or a key of SCRAM-SHA-256 is not base 64, or of the wrong length",
			)
		}
		*to = b
	}
	return keys, nil
}

// FormatHash and FormatScram write what ParseHash reads.
func FormatHash(stored string) string {
	switch {
	case stored == "":
		return ""
	case strings.HasPrefix(stored, "$argon2id$"):
		return "{ARGON2ID}" + stored
	case isLater(stored) && !strings.HasPrefix(stored, "$y$"):
		return stored
	}
	return "{CRYPT}" + stored
}

// FormatScram returns SCRAM keys in the form that ParseHash reads.
func FormatScram(keys *Scram) string {
	if keys == nil {
		return ""
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(
		"{%s}%d,%s,%s,%s",
		scramScheme,
		keys.Iterations,
		b64(keys.Salt),
		b64(keys.StoredKey),
		b64(keys.ServerKey),
	)
}

// verifyScram reports whether the keys are those of a password.
func verifyScram(keys *Scram, password string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return false, nil // no password that SASLprep takes (RFC 5802 2.2) was ever this one
	}
	got, err := client.GetStoredCredentialsWithError(
		scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
	)
	if err != nil {
		return false, fmt.Errorf("SCRAM keys: %w", err)
	}
	return subtle.ConstantTimeCompare(got.StoredKey, keys.StoredKey) == 1, nil
}

// Verifiable reports whether Verify could ever say yes.
func (u *User) Verifiable() bool { return u.Hash != "" || u.Scram != nil }

// Verify is VerifyPassword for a user, who may have nothing but SCRAM keys.
func (u *User) Verify(password string) (bool, error) {
	if u.Hash == "" && u.Scram != nil {
		return verifyScram(u.Scram, password)
	}
	return VerifyPassword(u.Hash, password)
}
