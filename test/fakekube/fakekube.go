// Package fakekube is a fake of a Kubernetes API server, for tests and benchmarks: it lists,
// watches, streams lists and makes pages as the real one does, in protocol buffers and JSON, whole
// or metadata only; it counts what it is asked and how many bytes it answers, and it plays faults.
//
// It refuses options of a list or watch that the real one refuses, by the same code. It holds
// objects and checks nothing of them. Its time is that of package time, and [Server.Client] needs
// no network, so that it can be used under testing/synctest.
package fakekube

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Object is what the server holds: a type of k8s.io/api, or for custom resources of whatever kind
// unstructured.Unstructured.
type Object interface {
	metav1.Object
	runtime.Object
}

// Streaming says what becomes of a request to stream a list.
type Streaming int

// What may become of it.
const (
	Streams    Streaming = iota
	Refuses              // 422, as without the feature
	BreaksDown           // 500 within the stream, as with an etcd that is too old
)

// Counts are what the server was asked.
type Counts struct {
	Lists, Pages, Watches, Streamed, Others int // Pages are those after the first of a list
	Bytes                                   int64
}

// Server is the fake. Create one with [New].
type Server struct {
	mu        sync.Mutex
	version   int64
	resources map[string]*resource // by path
	order     []string             // of paths, as they were declared
	counts    Counts
	streaming Streaming
	pageSize  int
	fault     func(*http.Request) *metav1.Status
	dropped   chan struct{} // closed to end all watches
	changed   chan struct{} // closed with every change
}

// resource is what is served at a path.
type resource struct {
	custom    bool // has no protocol buffers, but for its metadata
	items     map[string]*item
	log       []change
	compacted int64 // versions up to this one are forgotten
}

type item struct {
	made    Object
	make    func() Object // instead of made
	version int64
}

func (i *item) object() Object {
	if i.make == nil {
		return i.made
	}
	o := i.make()
	o.SetResourceVersion(strconv.FormatInt(i.version, 10))
	return o
}

type change struct {
	version  int64
	kind     string
	old, now Object // old is nil for what is new
}

// New returns a server that serves these paths, such as "/api/v1/pods", with no objects.
func New(paths ...string) *Server {
	s := &Server{version: 100, resources: map[string]*resource{}, order: paths,
		dropped: make(chan struct{}), changed: make(chan struct{})}
	for _, path := range paths {
		s.resources[path] = &resource{items: map[string]*item{}}
	}
	return s
}

// Custom makes the resource at a path a custom one, of which only metadata is served in protocol
// buffers.
func (s *Server) Custom(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resources[path].custom = true
}

func key(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// Put makes an object what it is from now on. The server keeps a copy with a version of its own; an
// object without a UID gets one.
func (s *Server) Put(path string, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resources[path]
	s.version++
	c := change{version: s.version, kind: "ADDED", now: copyOf(o)}
	c.now.SetResourceVersion(strconv.FormatInt(s.version, 10))
	if old := r.items[key(o)]; old != nil {
		c.kind, c.old = "MODIFIED", old.object()
		if c.now.GetUID() == "" {
			c.now.SetUID(c.old.GetUID())
		}
	}
	if c.now.GetUID() == "" {
		c.now.SetUID(types.UID(fmt.Sprintf("uid-%d", s.version)))
	}
	r.items[key(o)] = &item{made: c.now, version: s.version}
	s.note(r, c)
}

// Make adds objects that are made anew each time that they are needed, so that they take no memory.
// Nobody is told of a change.
func (s *Server) Make(path, namespace, name string, object func() Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.resources[path].items[namespace+"/"+name] = &item{make: object, version: s.version}
}

// Delete deletes an object, if there is one of that name.
func (s *Server) Delete(path, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resources[path]
	old := r.items[namespace+"/"+name]
	if old == nil {
		return
	}
	s.version++
	delete(r.items, namespace+"/"+name)
	last := copyOf(old.object())
	last.SetResourceVersion(strconv.FormatInt(s.version, 10))
	s.note(r, change{version: s.version, kind: "DELETED", old: last, now: last})
}

func (s *Server) note(r *resource, c change) {
	r.log = append(r.log, c)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Objects returns what there is at a path, by namespace and name.
func (s *Server) Objects(path string) map[string]Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Object{}
	for k, i := range s.resources[path].items {
		out[k] = i.object()
	}
	return out
}

// Compact forgets all versions before the one of now: who watches from an older one is told that it
// is gone.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.resources {
		r.log, r.compacted = nil, s.version
	}
}

// Drop ends all watches.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.dropped)
	s.dropped = make(chan struct{})
}

// Stream says what becomes of requests to stream a list.
func (s *Server) Stream(how Streaming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streaming = how
}

// Paged makes all lists have pages, of the size that is asked for but this one at most.
func (s *Server) Paged(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = size
}

// Fault answers requests with a status, for as long as the function returns one. nil ends that. The
// function may block.
func (s *Server) Fault(fault func(*http.Request) *metav1.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Version returns that of the newest change.
func (s *Server) Version() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Rewind makes the server one that lags behind, or has been restored: its version is an older one
// from now on.
func (s *Server) Rewind(by int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version -= by
}

// Counts returns what was asked since the last call.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.counts
	s.counts = Counts{}
	return out
}

// Status returns an answer that is no success.
func Status(code int32, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{Status: "Failure", Code: code, Reason: reason, Message: message}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	s.mu.Lock()
	fault := s.fault
	r := s.resources[request.URL.Path]
	s.mu.Unlock()
	out := &writer{ResponseWriter: w, server: s, accept: request.Header.Get("Accept")}
	out.binary = strings.HasPrefix(out.accept, protobuf) &&
		(r == nil || !r.custom || out.metadata())
	if fault != nil {
		if status := fault(request); status != nil {
			s.count(func(c *Counts) { c.Others++ })
			out.refuse(status)
			return
		}
	}
	query := request.URL.Query()
	switch {
	case request.Method != http.MethodGet:
		s.change(out, request)
	case r == nil:
		s.discover(out, request.URL.Path)
	case s.refuses(out, query):
	case query.Get("watch") != "":
		s.watch(out, request, r, query)
	default:
		s.list(out, r, query)
	}
}

func (s *Server) count(add func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.counts)
}

// refuses answers a list or watch whose options do not go together.
func (s *Server) refuses(w *writer, query url.Values) bool {
	s.mu.Lock()
	canStream := s.streaming != Refuses
	s.mu.Unlock()
	var options internalversion.ListOptions
	err := scheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, &options)
	errs := validation.ValidateListOptions(&options, canStream)
	var refused *apierrors.StatusError
	switch {
	case err != nil:
		refused = apierrors.NewBadRequest(err.Error())
	case len(errs) > 0:
		kind := metav1.SchemeGroupVersion.WithKind("ListOptions")
		refused = apierrors.NewInvalid(kind.GroupKind(), "", errs)
	case options.Continue != "" && options.ResourceVersion != "" && options.ResourceVersion != "0":
		refused = apierrors.NewBadRequest(
			"specifying resource version is not allowed when using continue")
	default:
		return false
	}
	s.count(func(c *Counts) {
		if options.SendInitialEvents != nil {
			c.Streamed++
		} else {
			c.Others++
		}
	})
	w.refuse(&refused.ErrStatus)
	return true
}

// discover answers what is served.
func (s *Server) discover(w *writer, path string) {
	s.count(func(c *Counts) { c.Others++ })
	type version struct {
		Version string `json:"version"`
	}
	type name struct {
		Name string `json:"name"`
	}
	var versions []version
	var names []name
	for _, served := range s.order {
		parts := strings.Split(served, "/")
		resource, folder := parts[len(parts)-1], strings.Join(parts[:len(parts)-1], "/")
		if folder == path {
			names = append(names, name{resource})
		}
		if v, ok := strings.CutPrefix(folder, path+"/"); ok && strings.HasPrefix(path, "/apis/") &&
			!slices.Contains(versions, version{v}) {
			versions = append(versions, version{v})
		}
	}
	switch {
	case names != nil:
		w.json(map[string]any{"kind": "APIResourceList", "resources": names})
	case versions != nil:
		w.json(map[string]any{"kind": "APIGroup", "versions": versions,
			"preferredVersion": versions[0]})
	default:
		w.refuse(Status(404, metav1.StatusReasonNotFound,
			"the server could not find the requested resource"))
	}
}

// selects returns the filter that a query has.
func selects(query url.Values) func(Object) bool {
	field, want, ok := strings.Cut(query.Get("fieldSelector"), "=")
	label, value, labelled := strings.Cut(query.Get("labelSelector"), "=")
	return func(o Object) bool {
		switch {
		case o == nil, labelled && o.GetLabels()[label] != value:
			return false
		case !ok:
			return true
		case field == "metadata.name":
			return o.GetName() == want
		case field == "spec.nodeName":
			switch o := o.(type) {
			case *corev1.Pod:
				return o.Spec.NodeName == want
			case *resourcev1.ResourceSlice:
				return o.Spec.NodeName != nil && *o.Spec.NodeName == want
			}
		}
		return false
	}
}

// list answers a list, or a page of one. Pages of one list are as of different times, for what has
// changed since the first; a client has to take that from the watch, which begins with the first.
func (s *Server) list(w *writer, r *resource, query url.Values) {
	wanted := selects(query)
	s.mu.Lock()
	version := s.version
	asked, _ := strconv.ParseInt(query.Get("resourceVersion"), 10, 64)
	if asked > version {
		s.mu.Unlock()
		w.refuse(tooLarge())
		return
	}
	token := query.Get("continue")
	first, after := version, ""
	if asked > 0 && query.Get("limit") != "" && query.Get("resourceVersionMatch") == "" {
		first = asked // exactly this version is asked for, and what is newer has to be watched for
	}
	if token != "" {
		s.counts.Pages++
		text, rest, _ := strings.Cut(token, " ")
		first, _ = strconv.ParseInt(text, 10, 64)
		after = rest
		if first < r.compacted {
			s.mu.Unlock()
			w.refuse(Status(410, metav1.StatusReasonExpired, "the continue token is too old"))
			return
		}
	} else {
		s.counts.Lists++
	}
	var page []*item
	left := s.pageSize
	if limit, _ := strconv.Atoi(query.Get("limit")); limit > 0 && left > 0 {
		left = min(left, limit)
	}
	next := ""
	for _, k := range slices.Sorted(maps.Keys(r.items)) {
		i := r.items[k]
		if k <= after || i.make == nil && !wanted(i.made) {
			continue
		}
		if s.pageSize > 0 && len(page) == left {
			next = strconv.FormatInt(first, 10) + " " + key(page[len(page)-1].object())
			break
		}
		page = append(page, i)
	}
	s.mu.Unlock()
	w.list(page, strconv.FormatInt(first, 10), next)
}

func tooLarge() *metav1.Status {
	status := Status(504, metav1.StatusReasonTimeout, "Timeout: Too large resource version")
	status.Details = &metav1.StatusDetails{RetryAfterSeconds: 1,
		Causes: []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}}
	return status
}

func copyOf(o Object) Object { return o.DeepCopyObject().(Object) }
