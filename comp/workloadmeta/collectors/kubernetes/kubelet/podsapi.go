package kubelet

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	podsv1 "k8s.io/kubelet/pkg/apis/pods/v1alpha1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeletsocket"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// watchPods is what a watch does, in errors.
const watchPods = "watch pods"

// podsAPI asks the kubelet's Pods API, on a Unix socket that only root may use.
//
// Source: k8s.io/kubelet/pkg/apis/pods, and what kubelets of 1.37 were seen to do.
type podsAPI struct {
	*kubeletsocket.Conn
	path    string
	client  podsv1.PodsClient
	decoder *object.Decoder[object.Pod]
	seed    maphash.Seed
	timeout time.Duration // of a list
	log     *slog.Logger
}

func newPodsAPI(o *Options, seed maphash.Seed) (*podsAPI, error) {
	conn, err := kubeletsocket.New(kubeletsocket.API{Name: "Pods API",
		Since: "the kubelet has the Pods API since Kubernetes 1.37"}, o.Socket, o.dial)
	if err != nil {
		return nil, err
	}
	return &podsAPI{Conn: conn, path: o.Socket, client: podsv1.NewPodsClient(conn),
		decoder: object.NewDecoder[object.Pod](object.Shape{}), seed: seed,
		timeout: o.CallTimeout, log: o.Log}, nil
}

// list asks for all pods. Those with a hash that is known are not decoded.
func (a *podsAPI) list(ctx context.Context, known map[uint64]bool) (listing, error) {
	l := listing{began: time.Now()}
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	answer, err := a.client.ListPods(limited, &podsv1.ListPodsRequest{})
	if err != nil {
		return l, a.explain(ctx, "list pods", err)
	}
	for _, data := range answer.GetPods() {
		i := item{hash: maphash.Bytes(a.seed, data)}
		if !known[i.hash] {
			a.decode(data, &i)
		}
		l.items = append(l.items, i)
	}
	return l, nil
}

func (a *podsAPI) decode(data []byte, to *item) {
	if to.pod, to.err = a.decoder.Protobuf(data); to.err == nil {
		return
	}
	is, err := object.NewDecoder[object.Identity](object.Shape{}).Protobuf(data)
	if err == nil {
		to.uid = is.Meta.UID
	}
}

// watch passes what the kubelet tells to the queue, until the watch ends. It always returns an
// error.
func (a *podsAPI) watch(ctx context.Context, q *queue) error {
	stream, err := a.client.WatchPods(ctx, &podsv1.WatchPodsRequest{})
	if err != nil {
		return a.explain(ctx, watchPods, err)
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			return a.explain(ctx, watchPods, err)
		}
		switch event.GetType() {
		case podsv1.EventType_INITIAL_SYNC_COMPLETE:
			q.sync()
		case podsv1.EventType_ADDED, podsv1.EventType_MODIFIED, podsv1.EventType_DELETED:
			pod, err := a.decoder.Protobuf(event.GetPod())
			if err != nil {
				a.log.Warn("a pod of the kubelet's watch is left out", "error", err)
				continue
			}
			q.add(pod, event.GetType() == podsv1.EventType_DELETED)
		}
	}
}

// unready are the answers of a kubelet that is there and cannot tell of pods yet: it has not heard
// of the API server since it started.
func unready(err error) bool { return status.Code(err) == codes.FailedPrecondition }

// explain says what went wrong, with a cause. The library's status stays below it.
func (a *podsAPI) explain(ctx context.Context, what string, err error) error {
	explained := a.Explain(ctx, what, err)
	if what == watchPods && kubeletsocket.Rejected(err) && ctx.Err() == nil {
		// For a client that reads too slowly, and for all of them when the kubelet stops.
		return collection.Closed(explained)
	}
	return explained
}

// queue holds what a watch has told and nobody has taken yet, one entry a pod at most for each of
// its lives: the kubelet hangs up on who reads slowly, so that the reader must never wait.
type queue struct {
	mu      sync.Mutex
	entries []told
	at      map[string]int // of a pod's entry that may still change
	synced  bool
	ready   chan struct{} // has a token when there is something to take
}

// told is the news of one pod.
type told struct {
	pod  *object.Pod // the newest; nil if only its end is told
	uid  string
	done bool // the kubelet is done with it
}

func newQueue() *queue { return &queue{at: map[string]int{}, ready: make(chan struct{}, 1)} }

func (q *queue) add(pod *object.Pod, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	uid := pod.Meta.UID
	i, ok := q.at[uid]
	if !ok {
		i = len(q.entries)
		q.entries = append(q.entries, told{uid: uid})
		q.at[uid] = i
	}
	if done {
		// The pod of this event has a name and nothing else.
		q.entries[i].done = true
		delete(q.at, uid)
	} else {
		q.entries[i].pod = pod
	}
	q.signal()
}

func (q *queue) sync() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.synced = true
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns what has been told, in order, and whether everything has been told at least once.
// Before that it leaves everything where it is: half of the pods look like the end of the others.
func (q *queue) take() (entries []told, synced bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.synced {
		return nil, false
	}
	entries, q.entries = q.entries, nil
	clear(q.at)
	return entries, true
}
