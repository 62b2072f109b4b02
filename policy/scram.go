package policy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
	"github.com/xdg-go/scram"
)

// scramServer makes up credentials for users who have none, so that the exchange with them looks
// like any other: the salt of a name is always the same, and the proof is always wrong (RFC 5802
// 5.1, RFC 7677). Iterations and the length of the salt are those of users who are there: imported
// ones have others than ours. Which of them a name gets follows from the name, as often as users
// have them. When that changes, the salt does, too: as if the user had a new password.
type scramServer struct {
	secret func() []byte
	forms  func() []directory.Form
}

// ownForm is that of keys that are made here.
var ownForm = directory.Form{Iterations: directory.ScramIterations, Salt: 16, Weight: 1}

func newScramServer(secret func() []byte, forms func() []directory.Form) *scramServer {
	if secret == nil {
		random := make([]byte, 32)
		rand.Read(random) // never fails
		secret = func() []byte { return random }
	}
	if forms == nil {
		forms = func() []directory.Form { return nil }
	}
	return &scramServer{secret: secret, forms: forms}
}

func (s *scramServer) madeUp(name string) scram.StoredCredentials {
	secret := s.secret()
	derive := func(what string) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(what + "\x00" + name))
		return h.Sum(nil)
	}
	f, salt := s.form(derive), []byte(nil)
	for i := 0; len(salt) < f.Salt; i++ {
		salt = append(salt, derive(fmt.Sprint("salt ", f.Iterations, " ", f.Salt, " ", i))...)
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(salt[:f.Salt]), Iters: f.Iterations},
		StoredKey:  derive("stored key"), // nobody knows a client key whose hash this is
		ServerKey:  derive("server key"),
	}
}

// form chooses by weighted rendezvous hashing: each form draws a number that follows from the name,
// and the least one, divided by the form's weight, wins. So a form that comes or goes changes
// nothing for names that do not get it.
func (s *scramServer) form(derive func(what string) []byte) directory.Form {
	chosen, least := ownForm, math.Inf(1)
	for _, f := range s.forms() {
		b := derive(fmt.Sprint("form ", f.Iterations, " ", f.Salt))
		drawn := (float64(binary.BigEndian.Uint64(b)>>11) + 1) / (1 << 53) // above 0, at most 1
		if v := -math.Log(drawn) / float64(f.Weight); v < least {
			chosen, least = f, v
		}
	}
	return chosen
}

// scramExchange is one conversation. It belongs to one session.
type scramExchange struct {
	auth   *Auth
	client netip.Addr
	domain string // of names without one
	conv   *scram.ServerConversation
	said   string // the user name as the client gave it
	// canonical; empty before the first message, and for a name that nobody can have
	account string
	user    *directory.User // nil: made up
}

// ScramSHA256 begins an exchange.
func (a *Auth) ScramSHA256(c *smtpd.Client) smtpd.ScramExchange {
	x := &scramExchange{auth: a, client: c.Addr.Addr(), domain: c.LoginDomain}
	server, err := scram.SHA256.NewServer(x.credentials)
	if err == nil {
		x.conv = server.NewConversation()
	}
	return x
}

// credentials is the look-up of the SCRAM library.
func (x *scramExchange) credentials(user string) (scram.StoredCredentials, error) {
	x.said = user
	name, ok := x.auth.loginName(x.domain, "", user)
	x.account = name
	if u := x.auth.active(name); ok && u != nil && u.Scram != nil {
		x.user = u
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(u.Scram.Salt), Iters: u.Scram.Iterations},
			StoredKey:  u.Scram.StoredKey, ServerKey: u.Scram.ServerKey,
		}, nil
	}
	if !ok {
		name = user
	}
	return x.auth.scram.madeUp(name), nil
}

// Step takes the client's first or final message. Both are cheap: the client does the hashing.
func (x *scramExchange) Step(
	message []byte,
) (server []byte, user *smtpd.User, done bool, f *smtp.Failure) {
	if x.conv == nil {
		return nil, nil, false, failBadHash
	}
	// The library says whose guess it is. Its other results are nobody's before it is admitted.
	answer, err := x.conv.Step(string(message))
	a := x.auth
	q := a.newGuess(x.client)
	q.account = x.account
	if why := a.guesses.beginNow(&q); why != admitted {
		return nil, nil, false, a.refusal(why, x.said, x.client)
	}
	switch {
	case err == nil && !x.conv.Done():
		x.end(&q, unchecked)
		return []byte(answer), nil, false, nil
	case err == nil && x.conv.Valid() && x.stillGood():
		x.end(&q, right)
		return []byte(answer), known(x.user), true, nil
	case !a.current():
		x.end(&q, unchecked)
		return nil, nil, false, failNotKnown
	}
	// A proof is new each time, so one cannot see that a wrong password is repeated.
	x.end(&q, wrong)
	return nil, nil, false, a.failed(x.said, x.client)
}

func (x *scramExchange) end(q *guess, o outcome) {
	begun, refused := x.auth.guesses.end(q, o, nil)
	for _, r := range refused {
		x.auth.refuse(r)
	}
	x.auth.run(begun...)
}

// stillGood: the user is there, unchanged since the exchange began, and acts for nobody else.
func (x *scramExchange) stillGood() bool {
	if x.user == nil {
		return false
	}
	if _, ok := x.auth.loginName(x.domain, x.conv.AuthzID(), x.said); !ok {
		return false
	}
	u := x.auth.active(x.user.Name)
	return u != nil && u.Version == x.user.Version
}
