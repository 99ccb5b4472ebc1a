package fakekube

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const protobuf = "application/vnd.kubernetes.protobuf"

type marshaler interface{ Marshal() ([]byte, error) }

// writer writes answers in what the client accepts.
type writer struct {
	http.ResponseWriter

	server *Server
	accept string
	binary bool // protocol buffers are sent, not JSON
	begun  bool
	failed bool
}

// metadata reports whether the client wants nothing else.
func (w *writer) metadata() bool { return strings.Contains(w.accept, "as=PartialObjectMetadata") }

func (w *writer) write(data []byte) {
	n, err := w.Write(data)
	w.failed = w.failed || err != nil
	w.server.count(func(c *Counts) { c.Bytes += int64(n) })
}

// begin sends the head of a watch.
func (w *writer) begin() {
	if w.begun {
		return
	}
	w.begun = true
	contentType := "application/json"
	if w.binary {
		contentType = protobuf + ";stream=watch"
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	w.flush()
}

func (w *writer) flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *writer) refuse(status *metav1.Status) {
	contentType, data := "application/json", []byte(nil)
	if w.binary {
		contentType, data = protobuf, frame(status)
	} else {
		data = toJSON(status)
	}
	w.Header().Set("Content-Type", contentType)
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	w.WriteHeader(int(status.Code))
	w.write(data)
}

func (w *writer) json(v any) {
	w.Header().Set("Content-Type", "application/json")
	w.write(toJSON(v))
}

// shown returns what is sent of an object.
func (w *writer) shown(o Object) any {
	if !w.metadata() {
		return o
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
		ResourceVersion: o.GetResourceVersion(), Generation: o.GetGeneration(),
		CreationTimestamp: o.GetCreationTimestamp(), Labels: o.GetLabels(),
		Annotations: o.GetAnnotations(), OwnerReferences: o.GetOwnerReferences(),
		ManagedFields: o.GetManagedFields()}}
}

// event writes one event of a watch.
func (w *writer) event(kind string, o any) {
	if object, ok := o.(Object); ok {
		o = w.shown(object)
	}
	w.begin()
	if !w.binary {
		w.write(append(toJSON(map[string]any{"type": kind, "object": o}), '\n'))
		w.flush()
		return
	}
	e := metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: frame(o.(marshaler))}}
	data, err := e.Marshal()
	must(err)
	w.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	w.flush()
}

func (w *writer) bookmark(version int64, annotations map[string]string) {
	w.event("BOOKMARK", &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: strconv.FormatInt(version, 10), Annotations: annotations}})
}

// list writes a list, object by object.
func (w *writer) list(items []*item, version, next string) {
	meta := &metav1.ListMeta{ResourceVersion: version, Continue: next}
	if !w.binary {
		w.Header().Set("Content-Type", "application/json")
		w.write([]byte(`{"kind":"List","metadata":`))
		w.write(toJSON(meta))
		w.write([]byte(`,"items":[`))
		for i, item := range items {
			if i > 0 {
				w.write([]byte(","))
			}
			w.write(toJSON(w.shown(item.object())))
		}
		w.write([]byte(`]}`))
		return
	}
	w.Header().Set("Content-Type", protobuf)
	// The length of a list comes before it: it is made twice, rather than held.
	head, err := meta.Marshal()
	must(err)
	size := len(field(1, head))
	for _, item := range items {
		n := w.shown(item.object()).(interface{ Size() int }).Size()
		size += n + len(binary.AppendUvarint([]byte{0}, uint64(n)))
	}
	w.write(append([]byte("k8s\x00"), field(1, nil)...)) // the type, which nobody reads
	w.write(binary.AppendUvarint([]byte{2<<3 | 2}, uint64(size)))
	w.write(field(1, head))
	for _, item := range items {
		data, err := w.shown(item.object()).(marshaler).Marshal()
		must(err)
		w.write(field(2, data))
		if w.failed {
			return
		}
	}
	w.write(field(3, nil)) // contentEncoding
	w.write(field(4, nil)) // contentType
}

// field returns a field of bytes.
func field(number int, data []byte) []byte {
	return append(binary.AppendUvarint([]byte{byte(number<<3 | 2)}, uint64(len(data))), data...)
}

// frame returns an object as it stands alone.
func frame(o marshaler) []byte {
	raw, err := o.Marshal()
	must(err)
	unknown := runtime.Unknown{Raw: raw}
	data, err := unknown.Marshal()
	must(err)
	return append([]byte("k8s\x00"), data...)
}

func toJSON(v any) []byte {
	data, err := json.Marshal(v)
	must(err)
	return data
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Client returns a client of the server that needs no network: its requests are calls.
func (s *Server) Client() *http.Client { return &http.Client{Transport: transport{s}} }

type transport struct{ handler http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	answer := &answer{header: http.Header{}, body: w, ready: make(chan struct{})}
	go func() {
		t.handler.ServeHTTP(answer, request)
		answer.WriteHeader(http.StatusOK)
		w.Close() //nolint:errcheck // a pipe's never fails
	}()
	stop := make(chan struct{})
	go func() {
		select {
		case <-request.Context().Done():
			w.CloseWithError(request.Context().Err()) //nolint:errcheck // a pipe's never fails
		case <-stop:
		}
	}()
	select {
	case <-answer.ready:
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	return &http.Response{StatusCode: answer.code, Status: http.StatusText(answer.code),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: answer.header.Clone(),
		Body: &closing{body, stop}, ContentLength: -1, Request: request}, nil
}

// closing is a body that ends who waits for the request's context.
type closing struct {
	*io.PipeReader
	stop chan struct{}
}

func (c *closing) Close() error {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	return c.PipeReader.Close()
}

// answer is a [http.ResponseWriter] into a pipe.
type answer struct {
	header http.Header
	body   *io.PipeWriter
	code   int
	ready  chan struct{}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
		close(a.ready)
	}
}

func (a *answer) Write(data []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(data)
}
