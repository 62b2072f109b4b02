//go:build libcrypto

package rsasign

/*
#cgo LDFLAGS: -lcrypto
#cgo noescape postroad_sign
#cgo nocallback postroad_sign
#include "libcrypto.h"
*/
import "C"

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"
)

// Implementation says whose RSA this is, with its version: of the library that is loaded, which may
// be newer than the one that the program was built with.
func Implementation() string {
	return C.GoString(C.OpenSSL_version(C.OPENSSL_VERSION)) + " (libcrypto)"
}

// private is the key as libcrypto has it: a context that is ready to sign, and that no signature
// changes. Each works on a copy of it, because a context is for one thread at a time.
type private struct {
	ctx     *C.EVP_PKEY_CTX
	cleanup runtime.Cleanup
}

// reason is room for the words of the library.
type reason [C.POSTROAD_REASON]C.char

func (r *reason) String() string { return C.GoString(&r[0]) }

func parse(der []byte) (*private, *rsa.PublicKey, error) {
	var ctx *C.EVP_PKEY_CTX
	var bits C.int
	var public [C.POSTROAD_PUBLIC]byte
	var why reason
	n := C.postroad_parse((*C.uchar)(&der[0]), C.long(len(der)), MinBits, MaxBits, &ctx, &bits,
		(*C.uchar)(&public[0]), &why[0])
	switch {
	case n == C.POSTROAD_NO_KEY:
		return nil, nil, fmt.Errorf("this is no RSA private key: %s", why.String())
	case n == C.POSTROAD_NOT_RSA:
		return nil, nil, errors.New("the private key is not an RSA key")
	case n == C.POSTROAD_BITS:
		return nil, nil, checkBits(int(bits))
	case n < 0:
		return nil, nil, fmt.Errorf("prepare the RSA private key: %s", why.String())
	}
	p := &private{ctx: ctx}
	// A key that nobody closes is freed when it is garbage.
	p.cleanup = runtime.AddCleanup(p, func(c *C.EVP_PKEY_CTX) { C.EVP_PKEY_CTX_free(c) }, ctx)
	parsed, err := x509.ParsePKIXPublicKey(public[:n])
	key, ok := parsed.(*rsa.PublicKey)
	if err == nil && !ok {
		err = errors.New("it is not an RSA key")
	}
	if err != nil {
		p.free()
		return nil, nil, fmt.Errorf("read the public half of the RSA key: %w", err)
	}
	return p, key, nil
}

func (p *private) append(b []byte, digest *[32]byte, size int) ([]byte, error) {
	grown := slices.Grow(b, size)
	sig := grown[len(b) : len(b)+size]
	var why reason
	ok := C.postroad_sign(p.ctx, (*C.uchar)(&digest[0]), (*C.uchar)(unsafe.SliceData(sig)),
		C.size_t(size), &why[0])
	runtime.KeepAlive(p)
	if ok != 1 {
		return b, fmt.Errorf("make an RSA signature: %s", why.String())
	}
	return grown[:len(b)+size], nil
}

// loop makes n signatures in C, with one context, as a measure of the library alone.
func (p *private) loop(n, size int) bool {
	ok := C.postroad_loop(p.ctx, C.int(n), C.size_t(size))
	runtime.KeepAlive(p)
	return ok == 1
}

// free frees the context and with it the key, whose numbers libcrypto wipes.
func (p *private) free() {
	p.cleanup.Stop()
	C.EVP_PKEY_CTX_free(p.ctx)
	p.ctx = nil
}
