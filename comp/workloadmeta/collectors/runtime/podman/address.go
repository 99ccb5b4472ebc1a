package podman

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// address says where a service is.
type address struct {
	network string // unix or tcp
	target  string // a path, or host:port
}

// accepted is what parseAddress takes.
const accepted = "want a path, in which * is any text, unix:///path or tcp://host:port"

// parseAddress reads an address as the options and CONTAINER_HOST have it. The path of a Unix
// socket may hold "*".
func parseAddress(s string) (address, error) {
	if strings.HasPrefix(s, "/") {
		return address{"unix", filepath.Clean(s)}, nil
	}
	wrong := func(what string) (address, error) {
		return address{}, fmt.Errorf("podman address %q: %s%s", mapping.Redact(s), what, accepted)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "":
		return wrong("")
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return address{"unix", filepath.Clean(u.Path)}, nil
	case u.Scheme == "unix":
		return wrong("the path of the socket must begin with /; ")
	case u.Scheme == "tcp" && u.Host != "" && u.Port() != "":
		return address{"tcp", u.Host}, nil
	case u.Scheme == "tcp":
		return wrong("host or port is missing; ")
	}
	return wrong("scheme " + u.Scheme + " is not supported; ")
}

func (a address) String() string {
	if a.network == "unix" {
		return a.target
	}
	return a.network + "://" + a.target
}
