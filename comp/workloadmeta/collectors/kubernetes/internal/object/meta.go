package object

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Meta is what every object has.
type Meta struct {
	Name            string `json:"name" pb:"1"`
	Namespace       string `json:"namespace" pb:"3,shared"`
	UID             string `json:"uid" pb:"5"`
	ResourceVersion string `json:"resourceVersion" pb:"6"`
	Generation      int64  `json:"generation" pb:"7"`
	// zero for static pods, which the API server has not made
	CreationTimestamp          Time              `json:"creationTimestamp" pb:"8"`
	DeletionTimestamp          Time              `json:"deletionTimestamp" pb:"9"`
	DeletionGracePeriodSeconds *int64            `json:"deletionGracePeriodSeconds" pb:"10"`
	Labels                     map[string]string `json:"labels" pb:"11"`
	Annotations                map[string]string `json:"annotations" pb:"12"`
	OwnerReferences            []OwnerReference  `json:"ownerReferences" pb:"13"`
}

// Metadata returns what is embedded in every object.
func (m *Meta) Metadata() *Meta { return m }

// OwnerReference says which object another one belongs to.
type OwnerReference struct {
	Kind       string `json:"kind" pb:"1,shared"`
	Name       string `json:"name" pb:"3,shared"`
	UID        string `json:"uid" pb:"4,shared"`
	APIVersion string `json:"apiVersion" pb:"5,shared"` // group and version: "apps/v1"
	Controller *bool  `json:"controller" pb:"6"`
}

// Time is a point in time, in UTC. The start of 1970 is the zero time: that is what protocol
// buffers make of it, and what the kubelet says where it does not know.
type Time struct{ time.Time }

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Time) UnmarshalJSON(data []byte) error {
	if err := t.Time.UnmarshalJSON(data); err != nil {
		return err
	}
	t.set(t.Time)
	return nil
}

func (t *Time) set(at time.Time) {
	if t.Time = at.UTC(); at.UnixNano() == 0 || at.IsZero() {
		t.Time = time.Time{}
	}
}

// Quantity is an amount in Kubernetes' notation, such as "250m" or "64Mi".
type Quantity string

// UnmarshalJSON implements [json.Unmarshaler]. A quantity may be written as a number, too.
func (q *Quantity) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, (*string)(q))
	}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(data, &n); err != nil {
		return fmt.Errorf("quantity %s: want a string or a number", data)
	}
	*q = Quantity(n)
	return nil
}

// quantity is how a [Quantity] looks in protocol buffers.
type quantity struct {
	String Quantity `pb:"1"`
}
