package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"strconv"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// place is one way to ask a kubelet over HTTP.
type place struct{ address, serverName string }

// places returns the ways to ask /pods, in the order in which they are tried. The kubelet's own
// certificate has the node's name in it, and no address, so that a node's address goes with its
// name, too.
func (o *Options) places() []place {
	if o.URL != "" {
		return withName(o.URL, o.NodeName)
	}
	node := o.nodeName()
	var out []place
	for _, host := range []string{o.Host, os.Getenv("HOST_IP"), os.Getenv("NODE_IP"), node} {
		if host == "" {
			continue
		}
		for _, p := range withName(hostPort(host, strconv.Itoa(o.Port)), node) {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

func withName(address, node string) []place {
	out := []place{{address: address}}
	if node != "" {
		out = append(out, place{address, node})
	}
	return out
}

func (o *Options) nodeName() string {
	return cmp.Or(o.NodeName, os.Getenv("NODE_NAME"), os.Getenv("KUBE_NODE_NAME"),
		os.Getenv("K8S_NODE_NAME"))
}

// errNoNode reports that nobody could tell which pods of the cluster are wanted.
var errNoNode error = &workloadmeta.Error{Cause: workloadmeta.CauseAbsent,
	Hint: "give it NODE_NAME from spec.nodeName",
	Err:  errors.New("API server: the name of this node is not known")}

// errNowhere reports that there is no address to ask.
var errNowhere error = &workloadmeta.Error{Cause: workloadmeta.CauseAbsent,
	Hint: "set kubernetes_kubelet_host or kubelet.url; in a pod give it HOST_IP from status.hostIP " +
		"and NODE_NAME from spec.nodeName",
	Err: errors.New("/pods: no address of a kubelet is known")}

// reach returns the first way that is answered with a list of pods, and that list. A forbidden one
// ends the search: the next would be forbidden as well, and only hide which rule is missing.
func (o *Options) reach(ctx context.Context, seed maphash.Seed) (*endpoint, listing, error) {
	places := o.places()
	if len(places) == 0 {
		return nil, listing{}, errNowhere
	}
	var token *tokenFile
	if path := o.tokenPath(); path != "" {
		token = &tokenFile{path: path}
	}
	var errs []error
	for _, p := range places {
		e := newEndpoint(p.address, p.serverName, o, token, seed)
		l, err := e.list(ctx, nil)
		if err == nil {
			return e, l, nil
		}
		e.close()
		if ctx.Err() != nil {
			return nil, l, context.Cause(ctx)
		}
		if p.serverName != "" {
			err = fmt.Errorf("as %s: %w", p.serverName, err)
		}
		errs = append(errs, err)
		if workloadmeta.CauseOf(err) == workloadmeta.CauseForbidden {
			return nil, l, err
		}
	}
	return nil, listing{}, errors.Join(errs...)
}
