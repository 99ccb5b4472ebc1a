package workloadmeta

// Filter says which events a subscriber wants. The zero Filter and a nil one
// match everything. A filter is built once, by chaining, and not changed after it
// has been handed over:
//
//	workloadmeta.NewFilter().Kind(workloadmeta.KindContainer).Events(workloadmeta.EventTypeUnset)
type Filter struct {
	kinds      uint32 // bit per Kind; 0 = all
	predicates [NumKinds]func(Entity) bool
	source     Source
	types      uint8 // bit per EventType; 0 = both
}

// NewFilter returns a filter that matches everything.
func NewFilter() *Filter { return &Filter{} }

// Kind adds a kind. With no call of Kind every kind matches. An optional predicate
// narrows it down; it sees the entity as the subscriber would, and for an unset the
// state before the end. It must be quick and must not call the store. Naming a kind
// again replaces its predicate. An invalid kind panics: it is a mistake of the caller.
func (f *Filter) Kind(kind Kind, predicate ...func(Entity) bool) *Filter {
	if !kind.Valid() {
		panic("workloadmeta: filter on an invalid kind")
	}
	f.kinds |= 1 << kind
	f.predicates[kind] = nil
	if len(predicate) > 0 {
		f.predicates[kind] = predicate[0]
	}
	return f
}

// Source narrows the filter to one source: the subscriber sees that source's view
// only, and an unset when that source withdraws, even if others remain.
// [SourceAll] is the merged view of all sources.
func (f *Filter) Source(source Source) *Filter {
	f.source = source
	return f
}

// Events narrows the filter to one type of event, compared with the event as it
// would be delivered. It panics on a type that there is not.
func (f *Filter) Events(t EventType) *Filter {
	if t != EventTypeSet && t != EventTypeUnset {
		panic("workloadmeta: filter on an invalid type of event")
	}
	f.types = 1 << t
	return f
}

// WantsKind reports whether events about the kind can match.
func (f *Filter) WantsKind(kind Kind) bool {
	return f == nil || f.kinds == 0 || f.kinds&(1<<kind) != 0
}

// WantsType reports whether events of the type can match.
func (f *Filter) WantsType(t EventType) bool {
	return f == nil || f.types == 0 || f.types&(1<<t) != 0
}

// ViewOf returns the source whose view is wanted, [SourceAll] for the merged one.
func (f *Filter) ViewOf() Source {
	if f == nil {
		return SourceAll
	}
	return f.source
}

// Accepts reports whether the entity, as the subscriber would see it, matches by
// kind and predicate.
func (f *Filter) Accepts(e Entity) bool {
	if f == nil {
		return true
	}
	kind := e.GetID().Kind
	if !f.WantsKind(kind) {
		return false
	}
	predicate := f.predicates[kind]
	return predicate == nil || predicate(e)
}
