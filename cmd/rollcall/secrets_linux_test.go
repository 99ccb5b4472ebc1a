package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	podsv1 "k8s.io/kubelet/pkg/apis/pods/v1alpha1"

	"github.com/rollcall-dev/rollcall/comp/agent"
	"github.com/rollcall-dev/rollcall/comp/catalog"
	"github.com/rollcall-dev/rollcall/comp/config"
)

// planted stands wherever a pod has a secret.
const planted = "hunter2-planted"

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// secretPod has a secret wherever manifests, kubectl and programs put them, and is named and tagged
// by what is none.
func secretPod(container string) *corev1.Pod {
	ended := corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: planted,
		ContainerID: "containerd://" + container[1:] + "0"}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "cart-0", Namespace: "shop", UID: "uid-cart",
			Labels: map[string]string{"app": "cart", "tags.datadoghq.com/service": "cart"},
			Annotations: map[string]string{"team": "blue",
				lastApplied: `{"env":[{"name":"DB","value":"` + planted + `"}]}`},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: planted}}},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "main",
			Image: "example.org/cart:1", Command: []string{"cart", "--password=" + planted},
			Args: []string{planted},
			Env: []corev1.EnvVar{{Name: "DD_VERSION", Value: "7"}, {Name: "DB", Value: planted},
				{Name: "DD_API_KEY", Value: planted}},
			LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
				Exec: &corev1.ExecAction{Command: []string{planted}}}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", RestartCount: 1,
				ContainerID: "containerd://" + container, Image: "example.org/cart:1",
				State:                corev1.ContainerState{Terminated: &ended},
				LastTerminationState: corev1.ContainerState{Terminated: &ended}}}},
	}
}

// secretNode stands in for a kubelet, in both ways, and for a runtime.
type secretNode struct {
	podsv1.UnimplementedPodsServer
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer
	pod       *corev1.Pod
	container string
}

func (n *secretNode) ListPods(context.Context,
	*podsv1.ListPodsRequest) (*podsv1.ListPodsResponse, error) {
	data, err := n.pod.Marshal()
	return &podsv1.ListPodsResponse{Pods: [][]byte{data}}, err
}

func (n *secretNode) WatchPods(_ *podsv1.WatchPodsRequest,
	to grpc.ServerStreamingServer[podsv1.WatchPodsEvent]) error {
	data, err := n.pod.Marshal()
	if err != nil {
		return err
	}
	for _, e := range []*podsv1.WatchPodsEvent{
		{Type: podsv1.EventType_ADDED, Pod: []byte(planted)}, // no pod, which is logged
		{Type: podsv1.EventType_ADDED, Pod: data},
		{Type: podsv1.EventType_INITIAL_SYNC_COMPLETE}} {
		if err := to.Send(e); err != nil {
			return err
		}
	}
	<-to.Context().Done()
	return nil
}

func (n *secretNode) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{Items: []corev1.Pod{*n.pod}}
	json.NewEncoder(w).Encode(list) //nolint:errcheck // the client may hang up
}

func (n *secretNode) Version(context.Context,
	*runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{RuntimeName: "cri-o", RuntimeVersion: "1.30",
		RuntimeApiVersion: "v1"}, nil
}

func (n *secretNode) metadata() (labels, annotations map[string]string) {
	return map[string]string{"io.kubernetes.pod.name": "cart-0",
			"io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": string(n.pod.UID),
			"io.kubernetes.container.name": "main", "annotation." + lastApplied: planted},
		map[string]string{lastApplied: planted}
}

func (n *secretNode) ListContainers(context.Context,
	*runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	labels, annotations := n.metadata()
	return &runtimeapi.ListContainersResponse{Containers: []*runtimeapi.Container{{Id: n.container,
		PodSandboxId: "sandbox", Metadata: &runtimeapi.ContainerMetadata{Name: "main"},
		Image: &runtimeapi.ImageSpec{Image: "example.org/cart:1"}, Labels: labels,
		Annotations: annotations, State: runtimeapi.ContainerState_CONTAINER_EXITED}}}, nil
}

func (n *secretNode) ContainerStatus(context.Context,
	*runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	labels, annotations := n.metadata()
	return &runtimeapi.ContainerStatusResponse{
		Status: &runtimeapi.ContainerStatus{Id: n.container, Labels: labels,
			Annotations: annotations, Message: planted, Reason: "Error", ExitCode: 1,
			State: runtimeapi.ContainerState_CONTAINER_EXITED},
		Info: map[string]string{"info": `{"config":{"envs":[{"key":"DB","value":"` + planted + `"}],
			"command":["` + planted + `"],"args":["` + planted + `"]},"runtimeSpec":{"process":{
			"args":["cart","--password=` + planted + `"],
			"env":["DD_ENV=prod","DB=` + planted + `","` + planted + `"]}}}`, "other": planted},
	}, nil
}

func (n *secretNode) ListPodSandbox(context.Context,
	*runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	labels, annotations := n.metadata()
	return &runtimeapi.ListPodSandboxResponse{Items: []*runtimeapi.PodSandbox{{Id: "sandbox",
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "cart-0", Namespace: "shop",
			Uid: string(n.pod.UID)}, Labels: labels, Annotations: annotations}}}, nil
}

func (n *secretNode) ListImages(context.Context,
	*runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	return &runtimeapi.ListImagesResponse{Images: []*runtimeapi.Image{{Id: "sha256:0a",
		RepoTags: []string{"example.org/cart:1"}}}}, nil
}

func (n *secretNode) ImageStatus(context.Context,
	*runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	return &runtimeapi.ImageStatusResponse{Image: &runtimeapi.Image{Id: "sha256:0a"},
		Info: map[string]string{"info": `{"imageSpec":{"config":{"Env":["DB=` + planted + `"],
			"Cmd":["` + planted + `"]},"history":[{"created_by":"ENV DB=` + planted + `"}]}}`}}, nil
}

// serve answers over gRPC at a socket.
func (n *secretNode) serve(t *testing.T, path string, register func(*grpc.Server)) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	register(s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // it ends with Stop
	t.Cleanup(func() { s.Stop(); serving.Wait() })
}

// Secrets that are planted in a pod are in no output, whichever way it came.
func TestPlantedSecretsAreInNoOutput(t *testing.T) {
	for _, way := range []string{"Pods API", "/pods"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "secrets") // the name of a socket must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			container := strings.Repeat("0a", 32)
			n := &secretNode{pod: secretPod(container), container: container}
			n.serve(t, dir+"/cri.sock", func(s *grpc.Server) {
				runtimeapi.RegisterRuntimeServiceServer(s, n)
				runtimeapi.RegisterImageServiceServer(s, n)
			})
			options := map[string]string{"cri_socket_path": dir + "/cri.sock",
				"collectors.docker": "off", "collectors.containerd": "off",
				"collectors.podman": "off", "collectors.process": "off",
				"kubelet.pods_socket": dir + "/pods.sock"}
			if way == "Pods API" {
				n.serve(t, dir+"/pods.sock", func(s *grpc.Server) {
					podsv1.RegisterPodsServer(s, n)
				})
			} else {
				s := httptest.NewServer(n)
				t.Cleanup(s.Close)
				options["kubelet.url"] = s.URL
			}
			searchOutputs(t, dir, container, options)
			searchMetrics(t, options)
		})
	}
}

// searchOutputs looks for the secret in what every command prints.
func searchOutputs(t *testing.T, dir, container string, options map[string]string) {
	t.Helper()
	live := []string{"-v", patiently}
	for name, value := range options {
		live = append(live, "--set", name+"="+value)
	}
	recorded := []string{"--from", dir + "/r.jsonl"}
	search := func(from []string, line string) string {
		t.Helper()
		r := rollcall(t, append(strings.Fields(line), from...)...)
		if r.code != 0 {
			t.Fatalf("%s: %+v", line, r)
		}
		if at := strings.Index(r.out+r.err, planted); at >= 0 {
			t.Errorf("%s shows a secret: …%.200s…", line, (r.out + r.err)[max(0, at-100):])
		}
		return r.out
	}
	search(live, "record --once "+dir+"/r.jsonl")
	text, err := os.ReadFile(dir + "/r.jsonl")
	if err != nil || bytes.Contains(text, []byte(planted)) {
		t.Errorf("%v: the recording has a secret", err)
	}
	all := search(live, "ls -a -o json")
	for _, want := range []string{"cart-0", "service:cart", "env:prod", "version:7", `"blue"`} {
		if !strings.Contains(all+string(text), want) {
			t.Errorf("%s is not there: %s", want, all)
		}
	}
	search(live, "status -o json")
	search(live, "status")
	search(live, "watch -a -o json --duration 1ms")
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		for _, line := range []string{"ls -a", "get pod uid-cart", "get container " + container,
			"explain pod uid-cart", "explain container " + container, "tags cart-0", "watch -a"} {
			if strings.HasPrefix(line, "ls") || format == "json" || format == "table" {
				search(recorded, line+" -o "+format)
			}
		}
	}
}

// searchMetrics looks for the secret in metrics, and in the log of an agent that runs for a while.
func searchMetrics(t *testing.T, options map[string]string) {
	t.Helper()
	var environ []string
	for name, value := range options {
		environ = append(environ,
			"ROLLCALL_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))+"="+value)
	}
	conf, err := config.NewSchema(catalog.Collectors()).Load(config.Source{Env: environ})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, err := agent.New(agent.Options{Config: conf, Environ: environ, Log: slog.New(
		slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Store().WaitSynced(ctx); err != nil {
		t.Error(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(a.Metrics()...)
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer,
		httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(answer.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(ctx); err != nil {
		t.Error(err)
	}
	if !bytes.Contains(text, []byte("rollcall_")) || bytes.Contains(text, []byte(planted)) {
		t.Errorf("metrics: %s", text)
	}
	if bytes.Contains(log.Bytes(), []byte(planted)) {
		t.Errorf("the log has a secret: %s", log.String())
	}
}
