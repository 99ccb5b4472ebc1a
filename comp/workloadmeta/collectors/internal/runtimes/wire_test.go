package runtimes

import "testing"

func TestPortRange(t *testing.T) {
	for in, want := range map[string]struct {
		first, last int
		protocol    string
	}{
		"80": {80, 80, "tcp"}, "80/": {80, 80, "tcp"}, "80/udp": {80, 80, "udp"}, "8000-8005/sctp": {8000, 8005, "sctp"}, "7-7": {7, 7, "tcp"},
		"": {}, "/tcp": {}, "http/tcp": {}, "8005-8000/tcp": {}, "80-/tcp": {}, "-80": {}, "65536/tcp": {}, "80-65536/tcp": {},
	} {
		if first, last, protocol := PortRange(in); first != want.first || last != want.last || protocol != want.protocol {
			t.Errorf("PortRange(%q) = %d, %d, %q; want %v", in, first, last, protocol, want)
		}
	}
}
