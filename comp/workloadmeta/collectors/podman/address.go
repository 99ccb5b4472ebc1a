package podman

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/internal/runtimes"
)

// address says where a service is.
type address struct {
	network string // unix or tcp
	target  string // a path, or host:port
}

// parseAddress reads an address as the options and CONTAINER_HOST have it. The path of a Unix socket may hold "*".
func parseAddress(s string) (address, error) {
	if strings.HasPrefix(s, "/") {
		return address{"unix", filepath.Clean(s)}, nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "":
		return address{}, fmt.Errorf("podman address %q: want a path, unix:///path or tcp://host:port", runtimes.Redact(s))
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return address{"unix", filepath.Clean(u.Path)}, nil
	case u.Scheme == "unix":
		return address{}, fmt.Errorf("podman address %q: the path of the socket must begin with /: unix:///run/podman/podman.sock", runtimes.Redact(s))
	case u.Scheme == "tcp" && u.Host != "" && u.Port() != "":
		return address{"tcp", u.Host}, nil
	case u.Scheme == "tcp":
		return address{}, fmt.Errorf("podman address %q: want tcp://host:port", runtimes.Redact(s))
	}
	return address{}, fmt.Errorf("podman address %q: scheme %s is not supported (unix and tcp are)", runtimes.Redact(s), u.Scheme)
}

func (a address) String() string {
	if a.network == "unix" {
		return a.target
	}
	return a.network + "://" + a.target
}
