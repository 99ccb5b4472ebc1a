package mapping

import (
	"fmt"
	"slices"
	"testing"
)

func TestPortRange(t *testing.T) {
	for in, want := range map[string]struct {
		first, last int
		protocol    string
	}{
		"80": {80, 80, "tcp"}, "80/": {80, 80, "tcp"}, "80/udp": {80, 80,
			"udp"}, "8000-8005/sctp": {8000, 8005, "sctp"}, "7-7": {7, 7, "tcp"},
		"": {}, "/tcp": {}, "http/tcp": {}, "8005-8000/tcp": {}, "80-/tcp": {}, "-80": {},
		"65536/tcp": {}, "80-65536/tcp": {},
	} {
		if first, last, protocol := PortRange(in); first != want.first || last != want.last ||
			protocol != want.protocol {
			t.Errorf("PortRange(%q) = %d, %d, %q; want %v", in, first, last, protocol, want)
		}
	}
}

// Which ports are kept of too many must not depend on chance: each inspection would change the
// container.
func TestTooManyPortsAreTheSameEachTime(t *testing.T) {
	exposed := map[string]struct{}{}
	for i := range 8 {
		exposed[fmt.Sprintf("%d-%d/tcp", 1000*(i+1), 1000*(i+1)+999)] = struct{}{}
	}
	ports := func() []string {
		var out []string
		for _, p := range Ports(nil, exposed, func(string) string { return "" }) {
			out = append(out, fmt.Sprint(p.Port))
		}
		return out
	}
	first := ports()
	if len(first) != MaxPorts {
		t.Errorf("%d ports, want %d", len(first), MaxPorts)
	}
	for range 20 {
		if again := ports(); !slices.Equal(again, first) {
			t.Fatal("other ports are kept the second time")
		}
	}
}
