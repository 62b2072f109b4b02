package directory

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/bcrypt"
)

// This file has the kinds of hashes that came after those of crypt(3): salted SHA, PBKDF2,
// bcrypt-sha256 and yescrypt. Programs of before do not know them (Rows).

// verifier reports whether a password, not empty, is the one of a hash.
type verifier func(password []byte) bool

// laterKinds are these kinds, by how what User.Hash keeps begins.
var laterKinds = []struct {
	begins string
	parse  func(stored string) (verifier, error)
}{
	{"{SSHA}", parseSalted}, {"{SSHA256}", parseSalted}, {"{SSHA512}", parseSalted},
	{"$pbkdf2$", parsePBKDF2}, {"$pbkdf2-sha256$", parsePBKDF2}, {"$pbkdf2-sha512$", parsePBKDF2},
	{"$bcrypt-sha256$", parseBcryptSHA256}, {"$y$", parseYescrypt},
}

// isLater reports whether a hash is one that only newer programs know.
func isLater(stored string) bool { return parserOf(stored) != nil }

// parserOf returns what reads a hash of a later kind; nil: it is none.
func parserOf(stored string) func(string) (verifier, error) {
	for _, k := range laterKinds {
		if strings.HasPrefix(stored, k.begins) {
			return k.parse
		}
	}
	return nil
}

// digests are the hash functions of these kinds.
var digests = map[string]struct {
	make func() hash.Hash
	size int
}{
	"SSHA": {sha1.New, sha1.Size}, "SSHA256": {sha256.New, sha256.Size},
	"SSHA512": {sha512.New, sha512.Size},
	"pbkdf2":  {sha1.New, sha1.Size}, "pbkdf2-sha256": {sha256.New, sha256.Size},
	"pbkdf2-sha512": {sha512.New, sha512.Size},
}

// parseSalted reads {SSHA}, {SSHA256} and {SSHA512}: the digest of password and salt, and the salt,
// in base 64.
func parseSalted(stored string) (verifier, error) {
	scheme, text, _ := strings.Cut(stored[1:], "}")
	d := digests[scheme]
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= d.size || len(b) > d.size+maxSalt {
		return nil, errHash
	}
	want, salt := b[:d.size], b[d.size:]
	return func(password []byte) bool {
		h := d.make()
		h.Write(password)
		h.Write(salt)
		return subtle.ConstantTimeCompare(h.Sum(nil), want) == 1
	}, nil
}

// maxPBKDF2Rounds is about a second of one core.
const maxPBKDF2Rounds = 1_500_000

// adaptedBase64 is passlib's: without padding, and with "." for "+".
var adaptedBase64 = base64.NewEncoding(
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").
	WithPadding(base64.NoPadding).Strict()

// parsePBKDF2 reads passlib's $pbkdf2-sha256$ROUNDS$SALT$KEY, and the same with SHA-512 or as
// $pbkdf2$ with SHA-1.
func parsePBKDF2(stored string) (verifier, error) {
	f := strings.Split(stored, "$")
	if len(f) != 5 {
		return nil, errHash
	}
	d := digests[f[1]]
	rounds, ok := parameter(f[2], "", maxPBKDF2Rounds)
	salt, err1 := adaptedBase64.DecodeString(f[3])
	want, err2 := adaptedBase64.DecodeString(f[4])
	if !ok || err1 != nil || err2 != nil || len(salt) > maxSalt || len(want) != d.size {
		return nil, errHash
	}
	return func(password []byte) bool {
		got, err := pbkdf2.Key(d.make, string(password), salt, int(rounds), len(want))
		return err == nil && subtle.ConstantTimeCompare(got, want) == 1
	}, nil
}

var bcryptSHA256Form = regexp.MustCompile(
	`^\$bcrypt-sha256\$(?:v=2,t=(2[ab]),r=([0-9]{1,2})|(2[aby]),([0-9]{1,2}))` +
		`\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})$`)

// parseBcryptSHA256 reads passlib's bcrypt of a SHA-256, in both of its versions.
func parseBcryptSHA256(stored string) (verifier, error) {
	m := bcryptSHA256Form.FindStringSubmatch(stored)
	if m == nil {
		return nil, errHash
	}
	salt := m[5]
	digest := func() hash.Hash { return hmac.New(sha256.New, []byte(salt)) }
	if m[1] == "" {
		digest = sha256.New
	}
	cost, _ := strconv.Atoi(m[2] + m[4])
	inner := "$" + m[1] + m[3] + "$" + strconv.Itoa(cost/10) + strconv.Itoa(cost%10) + "$" + salt +
		m[6]
	if err := checkBcrypt(inner); err != nil {
		return nil, err
	}
	return func(password []byte) bool {
		h := digest()
		h.Write(password)
		text := base64.StdEncoding.AppendEncode(nil, h.Sum(nil))
		return bcrypt.CompareHashAndPassword([]byte(inner), text) == nil
	}, nil
}

var yescryptForm = regexp.MustCompile(
	`^\$y\$j([./0-9A-Za-z])([./0-9A-Za-z])\$([./0-9A-Za-z]{1,86})\$[./0-9A-Za-z]{43}$`)

// cryptAlphabet is the base 64 of crypt(3), in the order of its values.
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// parseYescrypt reads what libxcrypt makes, within the bounds of memory.
func parseYescrypt(stored string) (verifier, error) {
	m := yescryptForm.FindStringSubmatch(stored)
	if m == nil || yescrypt.Decode64([]byte(m[3])) == nil {
		return nil, errHash
	}
	log := strings.Index(cryptAlphabet, m[1]) + 1
	r := strings.Index(cryptAlphabet, m[2]) + 1
	if log < 10 || log > 18 || r > 32 || r<<log>>3 > maxMemoryKiB { // 128 octets times r times N
		return nil, errHash
	}
	return func(password []byte) bool {
		got, err := yescrypt.Hash(password, []byte(stored))
		return err == nil && subtle.ConstantTimeCompare(got, []byte(stored)) == 1
	}, nil
}

// laterForm brings what others write to the one form in which User.Hash keeps it: schemes in front
// of a hash of a later kind. ok is false for other schemes.
func laterForm(scheme, rest string) (stored string, ok bool) {
	name, encoding, _ := strings.Cut(scheme, ".") // Dovecot's {SSHA.HEX}
	switch name {
	case "SSHA", "SSHA256", "SSHA512":
		if encoding == "HEX" {
			b, err := hex.DecodeString(rest)
			if err != nil {
				return "", false
			}
			rest, encoding = base64.StdEncoding.EncodeToString(b), ""
		}
		return "{" + name + "}" + rest, encoding == "" || encoding == "B64"
	case "PBKDF2", "PBKDF2-SHA1", "PBKDF2-SHA256", "PBKDF2-SHA512":
		if encoding != "" {
			return "", false
		}
		if dovecot, ok := strings.CutPrefix(rest, "$1$"); ok && name == "PBKDF2" {
			return ofDovecot(dovecot)
		}
		kind := "$" + strings.TrimSuffix(strings.ToLower(name), "-sha1") + "$"
		return kind + strings.TrimPrefix(rest, kind), true // OpenLDAP's pw-pbkdf2 and passlib
	}
	return "", false
}

// ofDovecot reads SALT$ROUNDS$KEY, the salt as its text is and the key in hexadecimal.
func ofDovecot(s string) (stored string, ok bool) {
	f := strings.Split(s, "$")
	if len(f) != 3 {
		return "", false
	}
	key, err := hex.DecodeString(f[2])
	return "$pbkdf2$" + f[1] + "$" + adaptedBase64.EncodeToString([]byte(f[0])) + "$" +
		adaptedBase64.EncodeToString(key), err == nil
}
