package docker

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// NewAll returns a collector for each daemon that Host and Hosts name: the first is "docker", each
// other is "docker@" and its address. Where Hosts is empty there is one, that of [New]. A daemon
// that is named twice, in whatever spelling or by a link, has one. An address in Hosts that makes
// no sense is an error that names it.
func NewAll(o Options) ([]workloadmeta.Collector, error) {
	hosts := o.Hosts
	o.Hosts = nil
	var out []workloadmeta.Collector
	var names []string // of the daemons that have a collector
	if o.Host != "" || len(hosts) == 0 {
		c, err := New(o)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		if o.Host != "" {
			names = append(names, daemonName(o.Host))
		}
	}
	for i, host := range hosts {
		if _, err := checkHost(host); err != nil {
			return nil, &collection.OptionError{Collector: id, Field: "Hosts",
				Err: fmt.Errorf("item %d: %w", i+1, err)}
		}
		name := daemonName(host)
		if slices.ContainsFunc(names, func(other string) bool { return sameDaemon(name, other) }) {
			continue
		}
		if o.Host, o.listed = host, true; len(out) > 0 {
			o.ID = id + "@" + name
		}
		c, err := New(o)
		if err != nil {
			return nil, err
		}
		c.before = slices.Clone(names)
		names, out = append(names, name), append(out, c)
	}
	return out, nil
}

// sameDaemon reports whether two names are of one daemon.
func sameDaemon(a, b string) bool {
	return a == b || filepath.IsAbs(a) && filepath.IsAbs(b) && mapping.SameFile(a, b)
}

// daemonName returns what tells the daemon at a valid address from others: the path of its socket,
// or its address.
func daemonName(host string) string {
	u, err := checkHost(host)
	if err == nil && u.Scheme == "unix" {
		return filepath.Clean(u.Host)
	}
	return mapping.Redact(host)
}
