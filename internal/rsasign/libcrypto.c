//go:build libcrypto

#include "libcrypto.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

// say writes the oldest error of this thread to reason and forgets the others.
static void say(char *reason, const char *otherwise)
{
	unsigned long e = ERR_get_error();

	if (e != 0)
		ERR_error_string_n(e, reason, POSTROAD_REASON);
	else
		OPENSSL_strlcpy(reason, otherwise, POSTROAD_REASON);
	ERR_clear_error();
}

// prepare returns a context that is ready to sign with pkey, or NULL.
static EVP_PKEY_CTX *prepare(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pkey, NULL);

	if (c != NULL && EVP_PKEY_sign_init(c) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0 &&
	    EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) > 0)
		return c;
	EVP_PKEY_CTX_free(c);
	return NULL;
}

// export writes the public half in DER.
static int export(EVP_PKEY *pkey, unsigned char *public)
{
	int n = i2d_PUBKEY(pkey, NULL);

	if (n <= 0 || n > POSTROAD_PUBLIC)
		return POSTROAD_FAILED;
	return i2d_PUBKEY(pkey, &public);
}

int postroad_parse(const unsigned char *der, long len, int min, int max, EVP_PKEY_CTX **ctx,
	int *bits, unsigned char *public, char *reason)
{
	const unsigned char *end = der;
	EVP_PKEY *pkey;
	int n;

	ERR_clear_error();
	pkey = d2i_AutoPrivateKey(NULL, &end, len);
	if (pkey == NULL) {
		say(reason, "not understood");
		return POSTROAD_NO_KEY;
	}
	*bits = EVP_PKEY_get_bits(pkey);
	if (end != der + len) {
		n = POSTROAD_NO_KEY;
		ERR_clear_error();
		say(reason, "there are octets behind it");
	} else if (!EVP_PKEY_is_a(pkey, "RSA")) {
		n = POSTROAD_NOT_RSA;
	} else if (*bits < min || *bits > max) {
		n = POSTROAD_BITS;
	} else if ((n = export(pkey, public)) <= 0 || (*ctx = prepare(pkey)) == NULL) {
		n = POSTROAD_FAILED;
		say(reason, "no reason given");
	}
	ERR_clear_error();
	EVP_PKEY_free(pkey); // the context has its own reference
	return n;
}

int postroad_sign(EVP_PKEY_CTX *ctx, const unsigned char *digest, unsigned char *sig, size_t size,
	char *reason)
{
	size_t n = size;
	EVP_PKEY_CTX *c;
	int ok;

	ERR_clear_error();
	c = EVP_PKEY_CTX_dup(ctx);
	ok = c != NULL && EVP_PKEY_sign(c, sig, &n, digest, 32) > 0 && n == size;
	if (!ok)
		say(reason, "no reason given");
	EVP_PKEY_CTX_free(c);
	return ok;
}

int postroad_loop(EVP_PKEY_CTX *ctx, int n, size_t size)
{
	unsigned char digest[32] = {0}, sig[POSTROAD_PUBLIC];
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_dup(ctx);
	int ok = c != NULL && size <= sizeof sig;

	while (ok && n-- > 0) {
		size_t len = size;
		ok = EVP_PKEY_sign(c, sig, &len, digest, 32) > 0;
	}
	EVP_PKEY_CTX_free(c);
	return ok;
}
