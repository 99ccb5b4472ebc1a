package kubeapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Lease is an object by which a program says that it is alive (coordination.k8s.io/v1).
type Lease struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   LeaseMeta `json:"metadata"`
	Spec       LeaseSpec `json:"spec"`
}

// LeaseMeta is the metadata of a Lease.
type LeaseMeta struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
}

// LeaseSpec says who holds a Lease, and until when.
type LeaseSpec struct {
	HolderIdentity       string `json:"holderIdentity,omitempty"`
	LeaseDurationSeconds int    `json:"leaseDurationSeconds,omitempty"`
	RenewTime            string `json:"renewTime,omitempty"`
}

// MicroTime writes a time as the API does.
func MicroTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

// callTimeout bounds a call that is answered at once.
const callTimeout = 10 * time.Second

// Leases returns those of a namespace that have a label.
func (c *Client) Leases(ctx context.Context, namespace, label string) ([]Lease, error) {
	var list struct{ Items []Lease }
	err := c.lease(ctx, http.MethodGet, namespace, "", url.Values{"labelSelector": {label}}, nil,
		&list)
	return list.Items, err
}

// PutLease makes a lease what it is: a new one if it has no version, else one that has not changed
// since that version.
func (c *Client) PutLease(ctx context.Context, l Lease) error {
	l.APIVersion, l.Kind = "coordination.k8s.io/v1", "Lease"
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write a lease: %w", err)
	}
	if l.Metadata.ResourceVersion == "" {
		return c.lease(ctx, http.MethodPost, l.Metadata.Namespace, "", nil, body, nil)
	}
	return c.lease(ctx, http.MethodPut, l.Metadata.Namespace, l.Metadata.Name, nil, body, nil)
}

// DeleteLease deletes a lease. That there is none is no error.
func (c *Client) DeleteLease(ctx context.Context, namespace, name string) error {
	err := c.lease(ctx, http.MethodDelete, namespace, name, nil, nil, nil)
	if workloadmeta.CauseOf(err) == workloadmeta.CauseAbsent {
		return nil
	}
	return err
}

// lease asks something about leases, and reads the answer.
func (c *Client) lease(ctx context.Context, method, namespace, name string, query url.Values,
	body []byte, to any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	path := versionPath("coordination.k8s.io", "v1") + "/namespaces/" +
		url.PathEscape(namespace) + "/leases"
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	var sent io.Reader
	if body != nil {
		sent = bytes.NewReader(body)
	}
	response, err := c.do(ctx, method, path, query, jsonType, sent)
	if err != nil {
		return leaseHint(err, method)
	}
	defer response.Body.Close()
	if to == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(to); err != nil {
		return fmt.Errorf("API server %s: read leases: %w", c.base.Host, err)
	}
	return nil
}

// leaseHint says which right is missing, if one is.
func leaseHint(err error, method string) error {
	if workloadmeta.CauseOf(err) != workloadmeta.CauseForbidden {
		return err
	}
	verb := map[string]string{http.MethodGet: "list", http.MethodPost: "create",
		http.MethodPut: "update", http.MethodDelete: "delete"}[method]
	return &workloadmeta.Error{Cause: workloadmeta.CauseForbidden, Err: err,
		Hint: "grant " + verb + " leases.coordination.k8s.io in its namespace to the account"}
}

// Conflict reports whether somebody else has written an object in between.
func Conflict(err error) bool {
	refused, ok := errors.AsType[*StatusError](err)
	return ok && refused.Code == http.StatusConflict
}

// Self returns the namespace of this pod, and its name: from POD_NAMESPACE and POD_NAME, else from
// the account's files and the name of the machine.
func (o Options) Self() (namespace, name string, err error) {
	namespace, name = os.Getenv("POD_NAMESPACE"), os.Getenv("POD_NAME")
	if namespace == "" {
		text, err := os.ReadFile(o.Root + serviceAccount + "namespace")
		if err != nil {
			return "", "", &workloadmeta.Error{Cause: workloadmeta.CauseAbsent,
				Hint: "give it POD_NAMESPACE from metadata.namespace",
				Err:  errors.New("the namespace of this pod is not known")}
		}
		namespace = strings.TrimSpace(string(text))
	}
	host, err := os.Hostname()
	if name = cmp.Or(name, host); name == "" {
		return "", "", fmt.Errorf("the name of this pod is not known: %w", err)
	}
	return namespace, name, nil
}
