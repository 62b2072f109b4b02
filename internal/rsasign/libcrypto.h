// What package rsasign asks of libcrypto. OpenSSL keeps the errors of a thread with the thread, and
// a goroutine may be on another one after a call; so each function here fetches its own error.
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum {
	POSTROAD_REASON = 256,  // octets for an error's text
	POSTROAD_PUBLIC = 4096, // octets for a public key in DER
};

enum {
	POSTROAD_NO_KEY = -1,  // der is no private key, or has octets behind it
	POSTROAD_NOT_RSA = -2, // the key is for something else
	POSTROAD_BITS = -3,    // the modulus is too short or too long: see bits
	POSTROAD_FAILED = -4,  // the library failed
};

// postroad_parse makes a context that is ready to sign with the key in der, and writes its public
// half in DER to public. It returns the octets there, or one of the values above.
int postroad_parse(const unsigned char *der, long len, int min, int max, EVP_PKEY_CTX **ctx,
	int *bits, unsigned char *public, char *reason);

// postroad_sign signs a SHA-256 digest with a copy of ctx. sig has room for size octets, as many as
// the modulus has. It returns 1, or 0 with the reason.
int postroad_sign(EVP_PKEY_CTX *ctx, const unsigned char *digest, unsigned char *sig, size_t size,
	char *reason);

// postroad_loop makes n signatures with one copy of ctx: what the library can do at best.
int postroad_loop(EVP_PKEY_CTX *ctx, int n, size_t size);
