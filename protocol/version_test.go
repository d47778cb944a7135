package protocol_test

import (
	"errors"
	"testing"

	"github.com/aristochat/aristochat/protocol"
)

func TestNegotiate(t *testing.T) {
	for vsn, want := range map[string]protocol.Version{
		"1.0.0":                    v1,
		"1.0.7":                    v1,
		"2.0.0":                    v2,
		"2.0.5":                    v2,
		"2.0.10":                   v2,
		"2.0.99999999999999999999": v2,
		"2.0.0+b1":                 v2,
		"2.0.0+001.-.Z":            v2,
		"1.0.1-rc.0":               v1, // follows 1.0.0, and so matches
		"2.0.1-0.a.00a+b-c":        v2,
		protocol.V1.String():       v1,
		protocol.V2.String():       v2,
	} {
		if got, err := protocol.Negotiate(vsn); got != want || err != nil {
			t.Errorf("Negotiate(%q) = %v, %v; want %v", vsn, got, err, want)
		}
	}
	for _, vsn := range []string{
		"", "1", "2", "2.0", "2.0.", "2..0", ".0.0", "v2.0.0", "abc", "2.0.0.0", "2.0.x", "2.0.0 ", " 2.0.0", "2.0.0\n", "+2.0.0", "-2.0.0", "2.0.-1",
		"02.0.0", "2.00.0", "2.0.00", "2.0.01",
		"0.9.0", "1.1.0", "2.1.0", "3.0.0", "10.0.0", "20.0.0", "123.1.1", "２.0.0",
		"2.0.0-rc.1", "2.0.0-rc.1+b", "1.0.1-", "1.0.1-rc..1", "1.0.1-01", "1.0.1-é", "2.0.0+", "2.0.0+a..b", "2.0.0+a+b", "2.0.0+a_b",
	} {
		if got, err := protocol.Negotiate(vsn); got != 0 || !errors.Is(err, protocol.ErrVersion) {
			t.Errorf("Negotiate(%q) = %v, %v; want ErrVersion", vsn, got, err)
		}
	}
}
