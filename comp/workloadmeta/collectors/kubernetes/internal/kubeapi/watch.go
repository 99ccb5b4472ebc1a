package kubeapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

const (
	// pauseMin and pauseMax bound the pause after a failure; see [Watch.Run].
	pauseMin = 800 * time.Millisecond
	pauseMax = 30 * time.Second
	// healthy is after what time without failure the pauses begin anew.
	healthy = 2 * time.Minute
	// absentPause is how long a resource that is not served is left alone, after some attempts: a
	// server that has just started does not serve everything at once, and it may be defined later.
	absentPause = time.Minute
	absentSoon  = 10 * time.Second
	// watchMin is how long a watch lasts at least, by the server's clock. Another watch begins
	// where it ends, so that servers that come back are found by all.
	watchMin = 5 * time.Minute
	// watchShort is how long a watch lasts that ends as it should. Some that ended sooner, one
	// after the other, are a failure.
	watchShort = time.Second
	// silence is for how long a list may stand still.
	silence = time.Minute
	// overdue is how long after its end a watch is ended by this side.
	overdue = 30 * time.Second
	// pageSize is how many objects a page of a list has, where the server makes pages.
	pageSize = 500
	// againMin and againMax bound the time from list to list while objects are left out of them.
	againMin = 10 * time.Minute
	againMax = 6 * time.Hour
	// streamingAgain is after what time a server that cannot stream lists is asked again.
	streamingAgain = time.Hour
)

// Handler is told what a [Watch] finds. All calls come from one goroutine.
type Handler[T any] interface {
	// Listing says that everything there is follows, up to Listed. It may come again before that:
	// then it begins anew.
	Listing()
	// Object tells of an object that is there, as it is. An error says that nothing can be made of
	// it: it is left out then, like one that cannot be decoded.
	Object(*T) error
	// Deleted tells of an object that is gone, as it was last. If that cannot be decoded the object
	// has its name, namespace and UID only.
	Deleted(*T)
	// Unreadable tells of an object that is there, and is left out because it cannot be decoded.
	// What was known of it stays. The metadata are its name, namespace and UID, as far as these can
	// be read.
	Unreadable(*object.Meta, error)
	// LeftOut tells of how many objects that is so, when that has changed. They are asked for again
	// after a while.
	LeftOut(int)
	// Listed says that objects of which nobody has told since Listing are gone.
	Listed()
	// Status tells of every attempt that has failed, and with nil that one has succeeded. A version
	// that the server has forgotten is a gap; another one right after it is a failure.
	Status(error)
}

// Watch follows all objects of a resource. The fields but those without a name are to be set.
type Watch[T any] struct {
	Client   *Client
	Resource Resource
	Decoder  *object.Decoder[T]
	Handler  Handler[T]

	served  string // the version of the API, of a resource that is asked for without one
	version string // of the last event or list
	synced  bool   // everything has been told, as of version
	newest  bool   // the next list has to be the newest there is

	left     map[objectName]bool // objects that are left out
	nameless int                 // those that are left out without anybody knowing which
	toldLeft int                 // of how many the handler knows
	listedAt time.Time
	again    time.Duration // from then to the next list, because some were left out
}

// objectName says which object of a resource one is.
type objectName struct{ namespace, name string }

// Run follows the resource until ctx ends, and returns why it has ended.
//
// After a failure it pauses for 0.8 s, doubled with every further one up to 30 s, and for as long
// as the server asks for. A connection that was lost goes on where it was; only when the server
// has forgotten the version that was seen last everything is asked for again.
func (w *Watch[T]) Run(ctx context.Context) error {
	pauses := &backoff.ExponentialBackOff{InitialInterval: pauseMin, Multiplier: 2,
		RandomizationFactor: 0.2, MaxInterval: pauseMax}
	pauses.Reset()
	gaps := 0 // one after the other
	for {
		began := time.Now()
		err := w.once(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		lasted := time.Since(began)
		if lasted > healthy {
			pauses.Reset()
			gaps = 0
		}
		if err == nil && w.toldLeft > 0 && time.Since(w.listedAt) >= w.again {
			w.synced = false
		}
		if err == nil && lasted > watchShort {
			continue
		}
		pause := min(pauses.NextBackOff(), pauseMax)
		refused, _ := errors.AsType[*StatusError](err)
		switch {
		case refused != nil && refused.forgotten():
			w.synced = false
			w.newest = w.newest || refused.tooNew()
			pause = max(pause, refused.Retry)
			if gaps++; gaps > 1 { // else everything that there is closes it
				w.Handler.Status(err)
			}
		case refused != nil && refused.Code == http.StatusNotFound:
			if pause > absentSoon {
				pause = absentPause
			}
			w.served = ""
			w.Handler.Status(err)
		case refused != nil:
			pause = max(pause, refused.Retry)
			w.Handler.Status(err)
		case err != nil:
			w.Handler.Status(err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// once asks for everything if that is not known, and then watches until the watch ends. The end
// that every watch has is no error.
func (w *Watch[T]) once(ctx context.Context) error {
	if w.Resource.Version == "" && w.served == "" {
		version, err := w.Client.Version(ctx, w.Resource.Group, w.Resource.Resource)
		if err != nil {
			return err
		}
		w.served = version
	}
	listed := w.Resource.GroupVersionResource
	cannot := false
	if !w.synced && w.Client.streams(listed) {
		err := w.watch(ctx)
		if cannot = cannotStream(err); w.synced || !cannot {
			return err
		}
	}
	if !w.synced {
		if err := w.list(ctx); err != nil {
			return err
		}
		if cannot { // streaming alone has failed
			w.Client.cannotStream(listed)
		}
	}
	return w.watch(ctx)
}

// cannotStream reports whether a list that was to be streamed has failed in a way in which one that
// is not may do better: the server does not know how (422), or its etcd does not (500, which may
// have other causes as well). Proxies give no such reasons.
func cannotStream(err error) bool {
	refused, ok := errors.AsType[*StatusError](err)
	return ok && (refused.Code == http.StatusUnprocessableEntity && refused.Reason == "Invalid" ||
		refused.Code == http.StatusInternalServerError && refused.Reason == "InternalError")
}

// errNoMark reports that a streamed list has ended without saying that it is complete.
var errNoMark = errors.New("the list has ended before it was complete")

// errSilent reports that a connection says nothing although there must be more.
var errSilent error = &workloadmeta.Error{Cause: workloadmeta.CauseTimeout,
	Err: fmt.Errorf("API server: nothing was heard for %s", silence)}

// errOverdue ends a watch that the server has not ended.
var errOverdue = errors.New("the watch is overdue")

// asked is a request with a limit to its silence.
type asked struct {
	*http.Response
	timer  *time.Timer
	limit  time.Duration // from one piece of the answer to the next; 0 = the timer is left alone
	cancel context.CancelCauseFunc
}

// ask asks for the resource. Close must be called in the end.
func (w *Watch[T]) ask(ctx context.Context, query url.Values, accept string) (*asked, error) {
	if w.Resource.Fields != "" {
		query.Set("fieldSelector", w.Resource.Fields)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	a := &asked{limit: silence, cancel: cancel,
		timer: time.AfterFunc(silence, func() { cancel(errSilent) })}
	var err error
	r := w.Resource
	r.Version = cmp.Or(r.Version, w.served)
	if a.Response, err = w.Client.get(ctx, r.path(), query, accept); err != nil {
		a.close()
		return nil, w.hinted(err)
	}
	return a, nil
}

func (a *asked) close() {
	a.timer.Stop()
	a.cancel(nil)
	if a.Response != nil {
		a.Body.Close() //nolint:errcheck // everything that matters has been read
	}
}

// Read reads the answer.
func (a *asked) Read(p []byte) (int, error) {
	n, err := a.Body.Read(p)
	if a.limit > 0 {
		a.timer.Reset(a.limit)
	}
	return n, err
}

// hinted says which right is missing, if one is.
func (w *Watch[T]) hinted(err error) error {
	if workloadmeta.CauseOf(err) != workloadmeta.CauseForbidden {
		return err
	}
	return &workloadmeta.Error{Cause: workloadmeta.CauseForbidden, Err: err,
		Hint: "grant list and watch " + Name(w.Resource.GroupVersionResource) + " to the account"}
}

// list asks for everything, page by page.
func (w *Watch[T]) list(ctx context.Context) error {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if !w.newest {
		// What the server has in memory, if that is not older than what was seen. Without a version
		// it asks etcd, or makes sure first that it is up to date.
		query.Set("resourceVersion", cmp.Or(w.version, "0"))
		// By itself a version with a limit is exactly this one, of which nobody may know any more.
		query.Set("resourceVersionMatch", "NotOlderThan")
	}
	w.listing()
	for {
		meta, err := w.page(ctx, query)
		if refused, ok := errors.AsType[*StatusError](err); ok && refused.forgotten() {
			w.newest = true // another server, or pages that took too long
		}
		if err != nil {
			return err
		}
		if meta.Continue == "" {
			w.listed(meta.ResourceVersion)
			return nil
		}
		query.Del("resourceVersion") // a further page is as of the first
		query.Del("resourceVersionMatch")
		query.Set("continue", meta.Continue)
	}
}

// page asks for a page, the only one where the server makes none.
func (w *Watch[T]) page(ctx context.Context, query url.Values) (object.ListMeta, error) {
	accept := acceptObjects
	if w.Resource.Metadata {
		accept = acceptMetadataList
	}
	a, err := w.ask(ctx, query, accept)
	if err != nil {
		return object.ListMeta{}, err
	}
	defer a.close()
	contentType := a.Header.Get("Content-Type")
	meta, err := readList(contentType, a, func(data []byte) error {
		w.take(contentType, data, false)
		return nil
	})
	if err != nil {
		return meta, w.readFailed(a, err)
	}
	return meta, nil
}

// readFailed says why an answer has ended too soon.
func (w *Watch[T]) readFailed(a *asked, err error) error {
	if cause := context.Cause(a.Request.Context()); cause != nil {
		err = cause
	}
	return fmt.Errorf("API server %s: read %s: %w", w.Client.base.Host,
		Name(w.Resource.GroupVersionResource), err)
}

// take tells of an object, or of its end, and returns its version, "" if that cannot be read.
func (w *Watch[T]) take(contentType string, data []byte, ended bool) (version string) {
	o, err := decode(w.Decoder, contentType, data)
	if err != nil {
		o = new(T)
		*metaOf(o) = identify(contentType, data)
	}
	meta := metaOf(o)
	version = meta.ResourceVersion
	name := objectName{meta.Namespace, meta.Name}
	switch {
	case ended && (err == nil || meta.Name != ""):
		w.Handler.Deleted(o)
		err = nil
	case err == nil:
		err = w.Handler.Object(o)
	}
	switch {
	case err == nil:
		delete(w.left, name)
		return version
	case meta.Name != "":
		w.left[name] = true
	default:
		w.nameless++
	}
	w.Handler.Unreadable(meta, fmt.Errorf("%s: %w", Name(w.Resource.GroupVersionResource), err))
	return version
}

func decode[T any](decoder *object.Decoder[T], contentType string, data []byte) (*T, error) {
	if isProtobuf(contentType) {
		return decoder.Protobuf(data)
	}
	return decoder.JSON(data)
}

// identify reads of an object which one it is, as far as that can be read.
func identify(contentType string, data []byte) object.Meta {
	is, err := decode(object.NewDecoder[object.Identity](object.Shape{}), contentType, data)
	if err != nil {
		return object.Meta{}
	}
	return object.Meta{Name: is.Meta.Name, Namespace: is.Meta.Namespace, UID: is.Meta.UID,
		ResourceVersion: is.Meta.ResourceVersion}
}

// tellLeft tells of how many objects are left out, if the handler does not know.
func (w *Watch[T]) tellLeft() {
	if n := len(w.left) + w.nameless; n != w.toldLeft {
		w.toldLeft = n
		w.Handler.LeftOut(n)
	}
}

func (w *Watch[T]) listing() {
	w.left, w.nameless = map[objectName]bool{}, 0
	w.Handler.Listing()
}

func (w *Watch[T]) listed(version string) {
	w.version, w.synced, w.newest = version, true, false
	w.listedAt = time.Now()
	w.Handler.Listed()
	w.tellLeft()
	if w.again = min(max(againMin, 2*w.again), againMax); w.toldLeft == 0 {
		w.again = 0
	}
	w.Handler.Status(nil)
}

// watch takes changes until the watch ends; before that it takes everything, if that is not known.
func (w *Watch[T]) watch(ctx context.Context) error {
	lasts := watchMin + rand.N(watchMin)
	query := url.Values{"watch": {"1"}, "allowWatchBookmarks": {"1"},
		"resourceVersion": {w.version},
		"timeoutSeconds":  {strconv.Itoa(int(lasts / time.Second))}}
	if !w.synced {
		query.Set("sendInitialEvents", "1")
		query.Set("resourceVersionMatch", "NotOlderThan")
		query.Set("resourceVersion", "") // the newest, and never older than what was seen
	}
	accept := acceptObjects
	if w.Resource.Metadata {
		accept = acceptMetadata
	}
	a, err := w.ask(ctx, query, accept)
	if err != nil {
		return err
	}
	defer a.close()
	t := taking[T]{Watch: w, asked: a}
	if w.synced {
		t.patient(lasts)
		w.Handler.Status(nil)
	} else {
		w.listing()
	}
	contentType := a.Header.Get("Content-Type")
	from := newEvents(contentType, a)
	for {
		e, err := from.next()
		switch {
		case err == nil:
			err = t.event(contentType, e, lasts)
		case errors.Is(context.Cause(a.Request.Context()), errOverdue):
			return nil
		case errors.Is(err, io.EOF) && w.synced:
			return nil
		case errors.Is(err, io.EOF):
			err = errNoMark
		}
		if err != nil {
			return w.readFailed(a, err)
		}
	}
}

// taking is a watch from which events are taken.
type taking[T any] struct {
	*Watch[T]
	*asked
}

// patient lets the watch be silent for as long as it lasts.
func (t *taking[T]) patient(lasts time.Duration) {
	t.limit = 0
	if t.timer.Stop() {
		cancel := t.cancel
		t.timer = time.AfterFunc(lasts+overdue, func() { cancel(errOverdue) })
	}
}

// event takes one event. An error ends the watch.
func (t *taking[T]) event(contentType string, e event, lasts time.Duration) error {
	switch e.kind {
	case "ADDED", "MODIFIED", "DELETED":
		version := t.take(contentType, e.data, e.kind == "DELETED")
		if !t.synced {
			return nil
		}
		t.version = cmp.Or(version, t.version)
		t.tellLeft()
	case "BOOKMARK":
		mark, err := decodeMark(contentType, e.data)
		if err != nil {
			return err
		}
		switch {
		case t.synced:
			t.version = mark.ResourceVersion
		case mark.Annotations["k8s.io/initial-events-end"] == "true":
			t.listed(mark.ResourceVersion)
			t.patient(lasts)
		}
	case "ERROR":
		status, err := decodeErrorEvent(contentType, e.data)
		if err != nil {
			return err
		}
		return (&StatusError{Status: *status}).withCause()
	}
	return nil
}

// metaOf returns what every object of package object has.
func metaOf(o any) *object.Meta { return o.(interface{ Metadata() *object.Meta }).Metadata() }

func decodeMark(contentType string, data []byte) (*object.Metadata, error) {
	return decode(object.NewDecoder[object.Metadata](object.Shape{}), contentType, data)
}

// decodeErrorEvent reads the object of an event of an error: a status without a frame.
func decodeErrorEvent(contentType string, data []byte) (*object.Status, error) {
	return decode(object.NewDecoder[object.Status](object.Shape{}), contentType, data)
}
