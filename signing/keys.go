package signing

import (
	"container/list"
	"errors"
	"fmt"
	"sync"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/rsasign"
	"github.com/postroad/postroad/mailauth/dkim"
)

// maxParsed is how many keys are kept ready for use. One of RSA takes some 5 KiB.
const maxParsed = 4096

// Purpose is what a domain's key is sealed for (secret.Ring).
func Purpose(name string) string { return "dkim " + name }

// Private reads a private key as the directory has it. open opens what is sealed for a purpose
// (secret.Ring). Close the key when it is not used any more.
func Private(
	k *directory.SigningKey, open func(purpose string, sealed []byte) ([]byte, error),
) (*dkim.Key, error) {
	packed, err := open(Purpose(k.Name), k.Sealed)
	if err != nil {
		return nil, err
	}
	text, err := unpack(packed)
	clear(packed)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return dkim.ParseKey(text)
}

// parsedKeys are the keys that were used last, ready for use. Safe for use by several goroutines.
type parsedKeys struct {
	open func(purpose string, sealed []byte) ([]byte, error)
	most int // that are kept

	mu     sync.Mutex
	byName map[string]*list.Element // of *parsed
	used   list.List                // the last used first
}

type parsed struct {
	name      string
	version   uint64 // of the directory's row
	key       *dkim.Key
	signature *dkim.Signature
}

// get returns what a key signs with. It may have been closed before it is used, by whoever needed
// its place: then it is got again (isClosed).
func (p *parsedKeys) get(k *directory.SigningKey) (*dkim.Signature, error) {
	p.mu.Lock()
	if e, ok := p.byName[k.Name]; ok && e.Value.(*parsed).version == k.Version {
		p.used.MoveToFront(e)
		p.mu.Unlock()
		return e.Value.(*parsed).signature, nil
	}
	p.mu.Unlock()
	key, err := Private(k, p.open)
	if err != nil {
		return nil, fmt.Errorf("the key %s: %w", k.Name, err)
	}
	s, err := dkim.NewSignature(dkim.Options{Domain: k.Domain(), Selector: k.Selector()}, key)
	if err != nil {
		key.Close()
		return nil, fmt.Errorf("the key %s: %w", k.Name, err)
	}
	p.put(&parsed{k.Name, k.Version, key, s})
	return s, nil
}

// put keeps a key, in the place of an older version of it and of the one that was used the longest
// ago.
func (p *parsedKeys) put(one *parsed) {
	var closing []*dkim.Key
	p.mu.Lock()
	if p.byName == nil {
		p.byName = map[string]*list.Element{}
	}
	if e, ok := p.byName[one.name]; ok {
		closing = append(closing, p.removeLocked(e))
	}
	if p.used.Len() >= p.most {
		closing = append(closing, p.removeLocked(p.used.Back()))
	}
	p.byName[one.name] = p.used.PushFront(one)
	p.mu.Unlock()
	for _, k := range closing {
		k.Close() // waits for signatures under way
	}
}

func (p *parsedKeys) removeLocked(e *list.Element) *dkim.Key {
	one := p.used.Remove(e).(*parsed)
	delete(p.byName, one.name)
	return one.key
}

// close closes all.
func (p *parsedKeys) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.used.Len() > 0 {
		p.removeLocked(p.used.Back()).Close()
	}
}

func isClosed(err error) bool { return errors.Is(err, rsasign.ErrClosed) }
