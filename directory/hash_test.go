package directory

import (
	"strings"
	"testing"
)

// foreign are hashes that others made: Dovecot's doveadm pw, OpenSSL and glibc.
var foreign = []struct{ hash, password string }{
	{
		"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$qNLvw1OXeiFpPd9ULyBvpQ$Gv4OQhm40roi1xuHPdokTAB+XH8oM7nTHFksOASXRNk",
		"secret word",
	},
	{
		"{SCRAM-SHA-256}4096,VZL7UYWQk9BBw2RGqu87Qw==,2KmAh2/sxH24RBo/Ny4bZX0hawgEvhdmdhFwdM4fG8g=,msU+FjX8dXrEBqxSHsTBAMl64iEolXMsltRdWsWdipQ=",
		"secret word",
	},
	{
		"{scram-sha-256}SCRAM-SHA-256$4096:VZL7UYWQk9BBw2RGqu87Qw==$2KmAh2/sxH24RBo/Ny4bZX0hawgEvhdmdhFwdM4fG8g=:msU+FjX8dXrEBqxSHsTBAMl64iEolXMsltRdWsWdipQ=",
		"secret word",
	},
	{
		"SCRAM-SHA-256$4096:VZL7UYWQk9BBw2RGqu87Qw==$2KmAh2/sxH24RBo/Ny4bZX0hawgEvhdmdhFwdM4fG8g=:msU+FjX8dXrEBqxSHsTBAMl64iEolXMsltRdWsWdipQ=",
		"secret word",
	},
	{"{BLF-CRYPT}$2y$05$IF5EsP.crE/43E4ssbTn0O5m6OZfKOW/zncvbHs8wrHJPcBo32gde", "secret word"},
	{"{CRYPT}$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret"},
	{"$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "secret"},
	{
		"{CRYPT}$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i",
		strings.Repeat("x", 100),
	},
	{
		"{SHA512-CRYPT}$6$V2YTzdEBm.6nsfok$hbT7Xydhk.idNihw1nVCrBvxNuzZWX3otYmYr/KFw6rzZQQdVqFQxDdentZjKhYhXZ.b0S3bbo.JKJY3iMxPH1",
		"secret word",
	},
	{
		"{CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		"Hello world!",
	},
	{
		"{CRYPT}$6$rounds=1500$Abc./xyz$7uF17Gvmsc0K.ivE1JZaVCqNWOhm./JCr5NHMop0fElUqg0OS08YovD.fnN7F0RTnAsYJMbmjlCdd96xH9Gnf1",
		"grün & gut",
	},
	{"{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"},
}

func TestForeignHashes(t *testing.T) {
	for _, c := range foreign {
		stored, keys, err := ParseHash(c.hash)
		if err != nil {
			t.Errorf("%s: %v", c.hash, err)
			continue
		}
		u := &User{Hash: stored, Scram: keys}
		if ok, err := u.Verify(c.password); !ok || err != nil {
			t.Errorf("%s: its password is refused: %v", c.hash, err)
		}
		for _, wrong := range []string{"", c.password + "y", strings.ToUpper(c.password[:1]) + "?",
			strings.Repeat("y", 2000)} {
			if ok, err := u.Verify(wrong); err != nil ||
				ok && len(c.password) <= 72 { // bcrypt looks at 72 octets
				t.Errorf("%s takes %.10q: %v, %v", c.hash, wrong, ok, err)
			}
		}
		again, keysAgain, err := ParseHash(FormatHash(stored) + FormatScram(keys))
		if err != nil || again != stored || FormatScram(keysAgain) != FormatScram(keys) {
			t.Errorf("%s: written and read again it is %s, %v", c.hash, again, err)
		}
	}
}

func TestBadHashes(t *testing.T) {
	b64 := "VZL7UYWQk9BBw2RGqu87Qw=="
	for _, hash := range []string{"", "secret", "{PLAIN}secret", "{CRYPT}secret", "{CRYPT}",
		"{CRYPT", "{MD5}$1$x$y", "{CRYPT}$1$abcdefgh$abcdefghijklmnopqrstuv",
		"{ARGON2ID}$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg",
		"{ARGON2ID}$6$saltstring$x", "{BLF-CRYPT}$6$saltstring$x",
		"{CRYPT}$2y$31$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
		"{CRYPT}$2y$00$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
		"{CRYPT}$2x$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
		"{CRYPT}$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf", "$6$saltstring$short",
		"$6$rounds=9999999$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		"$6$$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		"{SCRAM-SHA-256}", "{SCRAM-SHA-256}1," + b64 + "," + b64 + "," + b64,
		"{SCRAM-SHA-256}4096," + b64 + "," + b64 + "," + b64,
		"{SCRAM-SHA-256}99999999,VZL7UYWQk9BBw2RGqu87Qw==,2KmAh2/sxH24RBo/Ny4bZX0hawgEvhdmdhFwdM4fG8g=,msU+FjX8dXrEBqxSHsTBAMl64iEolXMsltRdWsWdipQ="} {
		if stored, _, err := ParseHash(hash); err == nil {
			t.Errorf("%q was taken, as %q", hash, stored)
		}
	}
}

// A hash that is taken is one that can be verified, and gives no error then.
func FuzzParseHash(f *testing.F) {
	for _, c := range foreign {
		f.Add(c.hash)
	}
	f.Add("$2y$04$$$")
	f.Add("{CRYPT}$6$rounds=1000$a$")
	f.Fuzz(func(t *testing.T, s string) {
		stored, keys, err := ParseHash(s)
		if err != nil {
			return
		}
		if (stored == "") == (keys == nil) {
			t.Fatalf("%q: %q and %v", s, stored, keys)
		}
		if stored != "" && checkHash(stored) != nil ||
			keys != nil && keys.Iterations > maxScramIterations {
			t.Fatalf("%q was taken, as %q and %+v", s, stored, keys)
		}
		if again, _, err := ParseHash(FormatHash(stored) + FormatScram(keys)); err != nil ||
			again != stored {
			t.Fatalf("%q: written and read again it is %q, %v", s, again, err)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	for password, ok := range map[string]bool{
		"grün": true, strings.Repeat("a", maxPassword): true,
		"": false, strings.Repeat("a", maxPassword+1): false, "a\nb": false, "a\x7f": false,
		"gr\xfcn": false,
	} {
		if err := CheckPassword(password); (err == nil) != ok {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}
