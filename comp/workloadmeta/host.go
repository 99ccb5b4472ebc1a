package workloadmeta

import "slices"

// Host is this machine. Its ID is "host".
type Host struct {
	EntityID
	HostTags []string `json:"host_tags,omitempty"` // complete tags, taken as they are
}

// HostID is the ID of the only host entity.
const HostID = "host"

// Equal implements [Entity].
func (h *Host) Equal(other Entity) bool {
	o, ok := other.(*Host)
	return ok && (h == o || h.EntityID == o.EntityID && slices.Equal(h.HostTags, o.HostTags))
}

func (h *Host) merged(views *views) Entity {
	out := &Host{EntityID: h.EntityID}
	for _, e := range views.byIdentity {
		v := e.(*Host)
		fillList(&out.HostTags, v.HostTags)
	}
	return out
}
