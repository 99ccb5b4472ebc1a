package docker

import (
	"fmt"
	"path/filepath"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// NewAll returns a collector for each daemon that Host and Hosts name: the first is "docker", each
// other is "docker@" and its address. Where Hosts is empty there is one, that of [New]. An address
// in Hosts that makes no sense, or is there twice, is an error that names it; that of Host may be
// among them.
func NewAll(o Options) ([]workloadmeta.Collector, error) {
	hosts := o.Hosts
	o.Hosts = nil
	var out []workloadmeta.Collector
	item := map[string]int{} // by the daemon's name; 0 is Host
	if o.Host != "" || len(hosts) == 0 {
		c, err := New(o)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		if o.Host != "" {
			item[daemonName(o.Host)] = 0
		}
	}
	for i, host := range hosts {
		wrong := func(err error) error {
			return &collection.OptionError{Collector: id, Field: "Hosts",
				Err: fmt.Errorf("item %d: %w", i+1, err)}
		}
		if _, err := checkHost(host); err != nil {
			return nil, wrong(err)
		}
		name := daemonName(host)
		switch first, twice := item[name]; {
		case twice && first == 0:
			continue
		case twice:
			return nil, wrong(fmt.Errorf("docker host %q: it is item %d, too",
				mapping.Redact(host), first))
		}
		item[name] = i + 1
		if o.Host, o.listed = host, true; len(out) > 0 {
			o.ID = id + "@" + name
		}
		c, err := New(o)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
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
