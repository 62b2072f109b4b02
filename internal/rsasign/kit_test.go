package rsasign

import (
	"crypto/rsa"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"testing"
)

// short is a key of 768 bits, which Go does not make any more. It is nobody's.
var short, _ = hex.DecodeString("" +
	"308201cb020100026100cca31edb987da743a1b2630d758b3cd6d0fec454531827c20b819b5588cf04a5b7ee4d" +
	"a7704451ec7548ab68c9d24eb6fa86a0ae9f0bc77b0165c2cb798c95a70f2fc170556ca8701af341c81516bd48" +
	"5e99ce0002153363547f5f731ad68bfd0203010001026100aebaedc3459eacee93a7b4ea2e1eb8d117dd21987a" +
	"e71a33970d90abe54816c8c597a618bd44a8cb058e0a464c65d5ace1fcf4959aa794c0fb25412b398fade1756e" +
	"01d890ee966f1a57cee6ca37263abf02e8e63319b746b4259dbf14133265023100f3582178259542ff96e57970" +
	"d891bd9faba1e82fb823ce2092f3b20c8114c885baacb5e8a9f5fae711734481337419d3023100d747a57cc623" +
	"d4c32624ca1f67ad378dde1d663b0fc6df5cd5f19a49e04753744146f74da2140515fa220d0b284dd0ef02306d" +
	"58b7c96e51f1063abf28dfcd6147ed1cc9a734f2309caa447e5f0e815e5e70c11e64ab84dbf47faa76ba5cb84b" +
	"3e6302300a5df4e631548066756bc820030a2066c08f81e0ce3db17bf301938083406c10692455bc7355ab7907" +
	"76a452293ab619023100db58309c1fe1ad07b4b07760398de797f4e2448cd572e56e2ef5dec3fb4969d4e266eb" +
	"d84dda885cf84fd4a11bfc2c69")

// marshal writes a key as PKCS #1 without looking whether it is one.
func marshal(t *testing.T, k *rsa.PrivateKey) []byte {
	der, err := asn1.Marshal(struct {
		Version                                    int
		N                                          *big.Int
		E                                          int
		D, P, Q, Exponent1, Exponent2, Coefficient *big.Int
	}{0, k.N, k.E, k.D, k.Primes[0], k.Primes[1], k.Precomputed.Dp, k.Precomputed.Dq,
		k.Precomputed.Qinv})
	if err != nil {
		t.Fatal(err)
	}
	return der
}
