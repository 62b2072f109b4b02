package directory

import (
	"errors"
	"fmt"
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

// later are hashes of the kinds that older programs do not know: Dovecot's, passlib's and
// libxcrypt's.
var later = []string{
	"{SSHA}1wfr6PpUybAExtWYbLosYKQ88ZJBRtO0",
	"{SSHA.B64}/Rq2UGaa6pplvLFar/b6MCBEwqRRjnXU",
	"{SSHA256}M6/OFcmJbGe57N8+QoEe2YpR24S+SYag7i9ZGseED4/Vpdyq",
	"{SSHA512}EPPIWHNBdpBLSut/6wUd5xQPlukeyh+n+HhkrxkN/alutsK2bxOEGNqVNTT5hkX3JSw5ACSQO5+lJodT5tIa4Gn" +
		"Z12o=",
	"{SSHA512.hex}8bc2c1351cf72c549d044ae35269094a26d1f51df0bee07b33188a4f6c6889f0b55359f52f5c3e6b952" +
		"b712796747c10e45fe4ff9b0a1df4df2bcf3d0981ecc965916aa5",
	"{PBKDF2}$1$LxixSuBzkM0y5TC9$5000$5e0e3385a760f987a8f85cc1397b5326f68ce7f6",
	"{PBKDF2}1000$gBDCGMO4lzIGQEgpBUDofQ$f0Nos3f4IckdQKMr.iRCkzpUCk8",
	"{PBKDF2-SHA256}1000$IYQQ4jzn/H8PQUhpjVEqRQ$Pt9pBhIZQiny1isoBSMWu8VC2IeIkqlWavZ1yqL4wB4",
	"{PBKDF2-SHA512}1000$gbDW2nuvNSbknJOS0tqbcw$g8ngIJqEx5EAQHw3/UsGY38QJ9GIDf0ot0kv50IrJ8akaywJG16Lk" +
		"2spWEztm4y7mElb9IWeot14fRE/1h2HdQ",
	"$pbkdf2$1000$H2Os1boXIiREaG0NgZDy3g$0yxuxbG4NJBQBgQRCNOarcrT/is",
	"$pbkdf2-sha256$1000$VgrhXAuhVKq1di6llPIeQw$RTEQ72XuC21XxAKFGNdRPxZK.UTOhA.CFrCPPhWQVL0",
	"$pbkdf2-sha512$1000$z7lXCgGAUMq5NwaglLL23g$UYck/0K3lVtjrL84QrB.C.T9cZXntQED5kdulB4SiKll4nzSvdWjD" +
		"93iVnGSwgqVQB.2HbNGEh3bmcrs0lG88w",
	"$bcrypt-sha256$v=2,t=2b,r=5$FnP3N7W1E3FbWb2qowTHy.$D22vT2diLmi.hwxH87T8PH4GB1wJouu",
	"$bcrypt-sha256$2b,5$xVbQMlHpRJPuSl9dnbZUve$Woa2012S.IVx2FfLE6bZuazzezZTsbC",
	"{CRYPT}$y$j9T$kPpKRuoSVkgRMeYjCsgtt1$2WgYrF/omoV4ceFlG0Yd.DEGayO.0QgNE3FM3qyDh/9",
	"$y$j75$kPpKRuoSVkgRMeYjCsgtt1$B0HCXX9CjKDM/fe9job3CcqX0S.A2ZowZD/EgH5FrJ6",
}

// TestLaterKinds: those hashes are taken for what they are, and in a cluster only when all members
// know them.
func TestLaterKinds(t *testing.T) {
	e, _ := newEditor(t)
	older := errors.New("an older member")
	for _, c := range foreign {
		if stored, _, err := ParseHash(c.hash); err != nil || isLater(stored) {
			t.Errorf("%s is not for older members: %v", c.hash, err)
		}
	}
	for i, hash := range later {
		stored, _, err := ParseHash(hash)
		if err != nil || !isLater(stored) {
			t.Errorf("%s: %v", hash, err)
			continue
		}
		taken(t, hash, "secret word")
		row := Imported{Name: fmt.Sprintf("u%d@l.example", i), Hash: stored}
		e.Kept = func() error { return older }
		if _, err := e.Import(ctx, "s", []Imported{row}, false); err != older {
			t.Errorf("%s beside an older member: %v", hash, err)
		}
		e.Kept = func() error { return nil }
		if refused, err := e.Import(ctx, "s", []Imported{row}, false); err != nil ||
			len(refused) > 0 {
			t.Errorf("%s: %v, %v", hash, refused, err)
		}
	}
}

func TestForeignHashes(t *testing.T) {
	for _, c := range foreign {
		taken(t, c.hash, c.password)
	}
}

// taken has a hash take its password, and no other.
func taken(t *testing.T, hash, password string) {
	t.Helper()
	stored, keys, err := ParseHash(hash)
	if err != nil {
		t.Errorf("%s: %v", hash, err)
		return
	}
	u := &User{Hash: stored, Scram: keys}
	if ok, err := u.Verify(password); !ok || err != nil {
		t.Errorf("%s: its password is refused: %v", hash, err)
	}
	for _, wrong := range []string{"", password + "y", strings.ToUpper(password[:1]) + "?",
		strings.Repeat("y", 2000)} {
		if ok, err := u.Verify(wrong); err != nil ||
			ok && len(password) <= 72 { // bcrypt looks at 72 octets
			t.Errorf("%s takes %.10q: %v, %v", hash, wrong, ok, err)
		}
	}
	again, keysAgain, err := ParseHash(FormatHash(stored) + FormatScram(keys))
	if err != nil || again != stored || FormatScram(keysAgain) != FormatScram(keys) {
		t.Errorf("%s: written and read again it is %s, %v", hash, again, err)
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
		"{SSHA}", "{SSHA}" + b64, "{SSHA.X}1wfr6PpUybAExtWYbLosYKQ88ZJBRtO0", "{SSHA.HEX}zz",
		"{SSHA512}1wfr6PpUybAExtWYbLosYKQ88ZJBRtO0",
		"{SSHA}" + strings.Repeat("A", 200), "{PBKDF2}", "{PBKDF2}$1$a$b", "{PBKDF2}$1$a$1$zz",
		"{PBKDF2}0$gBDCGMO4lzIGQEgpBUDofQ$f0Nos3f4IckdQKMr.iRCkzpUCk8",
		"{PBKDF2}9000000$gBDCGMO4lzIGQEgpBUDofQ$f0Nos3f4IckdQKMr.iRCkzpUCk8",
		"{PBKDF2-SHA256}1000$gBDCGMO4lzIGQEgpBUDofQ$f0Nos3f4IckdQKMr.iRCkzpUCk8",
		"$bcrypt-sha256$v=2,t=2b,r=31$FnP3N7W1E3FbWb2qowTHy.$D22vT2diLmi.hwxH87T8PH4GB1wJouu",
		"$bcrypt-sha256$v=3,t=2b,r=5$FnP3N7W1E3FbWb2qowTHy.$D22vT2diLmi.hwxH87T8PH4GB1wJouu",
		"$y$jFT$kPpKRuoSVkgRMeYjCsgtt1$2WgYrF/omoV4ceFlG0Yd.DEGayO.0QgNE3FM3qyDh/9", // 1 GiB
		"$y$j/T$kPpKRuoSVkgRMeYjCsgtt1$2WgYrF/omoV4ceFlG0Yd.DEGayO.0QgNE3FM3qyDh/9",
		"$y$k9T$kPpKRuoSVkgRMeYjCsgtt1$2WgYrF/omoV4ceFlG0Yd.DEGayO.0QgNE3FM3qyDh/9",
		"{BLF-CRYPT}$y$j75$kPpKRuoSVkgRMeYjCsgtt1$B0HCXX9CjKDM/fe9job3CcqX0S.A2ZowZD/EgH5FrJ6",
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
	for _, hash := range later {
		f.Add(hash)
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
