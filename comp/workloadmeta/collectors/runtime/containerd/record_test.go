package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
	"github.com/rollcall-dev/rollcall/test/realnode"
)

// cart is the image of most recorded containers.
const cart = "registry.example.test:5000/shop/cart:1.2"

// TestRecord makes the recordings that the other tests read, of the installed containerd or of that
// in the folder which ROLLCALL_REALNODE_PROGRAMS names.
func TestRecord(t *testing.T) {
	collectortest.OnlyToRecord(t)
	realnode.Require(t)
	n := realnode.StartContainerd(t)
	c, err := New(Options{Address: n.Socket})
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(n.Socket, &c.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var filters []string
	for _, topic := range append(topics[:], "/tasks/create", "/tasks/exec-added",
		"/tasks/exec-started") {
		filters = append(filters, "topic=="+strconv.Quote(topic))
	}
	stream, err := d.subscribe(ctx, filters)
	if err != nil {
		t.Fatal(err)
	}
	var events []recordedEvent
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			e, err := stream.Recv()
			if err != nil {
				return
			}
			m, err := e.Event.UnmarshalNew()
			if err != nil { // containerd leaves out what is before the name
				m, err = (&anypb.Any{TypeUrl: "types.containerd.io/" + e.Event.TypeUrl,
					Value: e.Event.Value}).UnmarshalNew()
			}
			if err != nil {
				t.Error(err)
				continue
			}
			events = append(events,
				recordedEvent{e.Timestamp.AsTime(), e.Namespace, e.Topic,
					string(m.ProtoReflect().Descriptor().FullName()), compactProto(t, m)})
		}
	}()
	time.Sleep(200 * time.Millisecond) // nothing tells when a subscription counts

	kubelet := n.CRI(t)
	kubelet.UseNetwork()
	for _, ns := range []string{"default", "k8s.io", "moby"} {
		n.ImportImage(ns, cart, "sleep", "1000")
	}
	n.Ctr("default", "image", "tag", cart, "cart:latest")
	n.ImportImage("default", "lost.example.test/config:1", "sleep", "1001")
	n.ImportImage("default", "lost.example.test/manifest:1", "sleep", "1002")

	run := func(id string, args ...string) {
		t.Helper()
		command := []string{"sleep", "1000"}
		if at := slices.Index(args, "--"); at >= 0 {
			args, command = slices.Clone(args[:at]), args[at+1:]
		}
		n.Run("default", append(append(args, cart, id), command...)...)
	}
	run("web", "--env", "DD_ENV=prod", "--env", "DB_PASSWORD=hunter2", "--env", "API_TOKEN=hunter3",
		"--label", "team=blue",
		"--memory-limit", "67108864", "--cpu-shares", "512", "--cpu-quota", "50000", "--cpu-period",
		"100000",
		"--label", "kubectl.kubernetes.io/last-applied-configuration=hunter4", "--annotation",
		"kubectl.kubernetes.io/last-applied-configuration=hunter5")
	run("seccomp", "--seccomp", "--cap-add", "CAP_NET_ADMIN", "--cap-drop", "CAP_CHOWN")
	run("privileged", "--privileged")
	run("hostnet", "--net-host")
	run("failed", "--", "sh", "-c", "exit 3")
	run("nerdctl", "--label", "nerdctl/name=front", "--label", "nerdctl/hostname=fronthost",
		"--label", `nerdctl/networks=["bridge"]`,
		"--label", "nerdctl/ip=10.4.0.9",
		"--label",
		`nerdctl/ports=[{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp","HostIP":"0.0.0.0"}]`)
	run("restarted", "--label", "containerd.io/restart.status=running", "--label",
		"containerd.io/restart.policy=on-failure:3",
		"--label", "containerd.io/restart.count=2")
	run("paused")
	n.Ctr("default", "task", "pause", "paused")
	defer n.Ctr("default", "task", "resume", "paused")
	n.Ctr("default", "container", "create", cart, "created", "sleep", "1000")
	n.Ctr("default", "task", "exec", "--exec-id", "probe", "web", "true")
	n.Ctr("default", "task", "exec", "--exec-id", "probe", "web", "sh", "-c", "true")
	n.Run("moby", cart, "5f3c9d2f", "sleep", "1000")

	cartPod := kubelet.RunPod("cart-0", func(c *cri.PodSandboxConfig) {
		annotate(c)
		c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_POD
		c.Linux.SecurityContext.Privileged = true
	})
	main := cartPod.Run("cart", cart, ofPod)
	kubelet.Exec(main, "true")
	job := cartPod.Run("job", cart, func(c *cri.ContainerConfig) {
		ofPod(c)
		c.Linux.SecurityContext.Privileged = true
		c.Linux.SecurityContext.Capabilities = nil
	}, "sh", "-c", "exit 4")
	cartPod.Create("waiting", cart, func(c *cri.ContainerConfig) {
		ofPod(c)
		c.Linux.SecurityContext.Seccomp = &cri.SecurityProfile{
			ProfileType: cri.SecurityProfile_Unconfined}
	})
	kubelet.RunPod("agent-x2x4z", annotate).Run("agent", cart, func(c *cri.ContainerConfig) {
		ofPod(c)
		c.Annotations = nil
		c.Linux.Resources = &cri.LinuxContainerResources{CpuShares: 2}
	})
	kubelet.AwaitExit(job)
	for name, what := range map[string]string{"lost.example.test/config:1": "config",
		"lost.example.test/manifest:1": "manifest"} {
		i, err := d.getImage(ctx, "default", name)
		if err != nil {
			t.Fatal(err)
		}
		digest := i.Target.Digest.String()
		if what == "config" {
			content, err := c.shared.reader.read(ctx, descriptor{Digest: digest},
				func(ctx context.Context, b descriptor) ([]byte, error) {
					return d.blob(ctx, "default", b)
				})
			if err != nil {
				t.Fatal(err)
			}
			digest = content.id
		}
		n.Ctr("default", "content", "rm", digest)
	}
	waitForTask(t, n, "failed", "STOPPED")

	// What it has now.
	version, err := d.version(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{At: time.Now().UTC(), Version: version,
		Namespaces: map[string]*recordedNamespace{}, Blobs: map[string]json.RawMessage{},
		Proc: map[string]map[string]string{}}
	r.addProc("", "uptime")
	r.addProc("1", "ns/net")
	names, err := d.listNamespaces(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		ns := new(recordedNamespace)
		r.Namespaces[name] = ns
		list, err := containersapi.NewContainersClient(d.conn).List(namespaces.WithNamespace(ctx,
			name), &containersapi.ListContainersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range list.Containers {
			out := recordedContainer{
				ID: in.ID, Labels: in.Labels, Image: in.Image, Runtime: in.Runtime.Name,
				Snapshotter: in.Snapshotter,
				CreatedAt:   in.CreatedAt.AsTime(), UpdatedAt: in.UpdatedAt.AsTime(),
				Spec: recordAny(in.Spec), Extensions: map[string]*recordedAny{},
			}
			for key, value := range in.Extensions {
				extension := recordAny(value)
				out.Extensions[key] = &extension
			}
			ns.Containers = append(ns.Containers, out)
		}
		tasks, err := d.listTasks(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range tasks {
			ns.Tasks = append(ns.Tasks, compactProto(t, p))
			r.addProc(fmt.Sprint(p.Pid), "stat", "net/fib_trie", "net/if_inet6", "ns/net")
		}
		images, err := d.listImages(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range images {
			target := descriptor{MediaType: i.Target.MediaType, Digest: i.Target.Digest.String(),
				Size: i.Target.Size}
			ns.Images = append(ns.Images, recordedImage{i.Name, i.Labels, target})
			if _, err := c.shared.reader.read(ctx, target,
				func(ctx context.Context, b descriptor) ([]byte, error) {
					text, err := d.blob(ctx, name, b)
					if err == nil {
						r.Blobs[b.Digest] = text
					}
					return text, err
				}); err != nil {
				t.Fatal(err)
			}
		}
	}

	n.Ctr("default", "task", "resume", "paused")
	n.Ctr("default", "task", "pause", "paused") // for what is deferred
	n.Ctr("default", "task", "kill", "--signal", "SIGKILL", "web")
	waitForTask(t, n, "web", "STOPPED")
	n.Ctr("default", "task", "delete", "web")
	n.Ctr("default", "container", "label", "created", "seen=yes")
	n.Ctr("default", "container", "delete", "web")
	n.Ctr("default", "image", "rm", "cart:latest")
	kubelet.Remove(job)
	run("greedy", "--memory-limit", "16777216", "--", "sh", "-c",
		"x=a; while true; do x=$x$x; done")
	waitForTask(t, n, "greedy", "STOPPED")
	n.Ctr("late", "namespace", "create", "late")
	n.Ctr("late", "namespace", "remove", "late")
	time.Sleep(300 * time.Millisecond) // the last events
	cancel()
	<-ended
	r.Events = events
	r.anonymise(t, n.Root)
	r.save(t, recordingOf(version))
}

// annotate gives a pod what a kubelet does, with a secret in it.
func annotate(c *cri.PodSandboxConfig) {
	c.Labels["app"] = c.Metadata.Name
	c.Annotations = map[string]string{
		"kubernetes.io/config.source":                      "api",
		"kubectl.kubernetes.io/last-applied-configuration": `{"spec":{"containers":[{"env":[{"name":"DB_PASSWORD","value":"hunter2"}]}]}}`,
	}
}

// ofPod makes a container one of which there is much to tell, with a secret among it.
func ofPod(c *cri.ContainerConfig) {
	c.Envs = []*cri.KeyValue{{Key: "DD_SERVICE", Value: []byte("shop")},
		{Key: "DB_PASSWORD", Value: []byte("hunter2")}}
	c.Annotations = map[string]string{
		"io.kubernetes.container.hash":         "bc06",
		"io.kubernetes.container.restartCount": "2",
		"io.kubernetes.container.ports":        `[{"name":"http","containerPort":8080,"protocol":"TCP"},{"name":"dns","hostPort":5353,"containerPort":53,"protocol":"UDP"}]`,
	}
	c.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000,
		CpuShares: 256, MemoryLimitInBytes: 128 << 20}
	s := c.Linux.SecurityContext
	s.Capabilities = &cri.Capability{AddCapabilities: []string{"NET_BIND_SERVICE"},
		DropCapabilities: []string{"ALL"}}
	s.ReadonlyRootfs, s.NoNewPrivs = true, true
	s.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}
}

func waitForTask(t *testing.T, n *realnode.Containerd, id, status string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		out := n.Ctr("default", "task", "ls")
		if regexp.MustCompile(`(?m)^` + id + `\s+\d+\s+` + status).MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not %s:\n%s", id, status, out)
		}
	}
}

// compactProto is JSON that does not change from one run to the next, which that of protojson does
// on purpose.
func compactProto(t *testing.T, m proto.Message) json.RawMessage {
	t.Helper()
	text, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// recordAny leaves out the long list of system calls in a filter, of which only that there is a
// filter matters here.
func recordAny(a *anypb.Any) recordedAny {
	var v map[string]any
	decoder := json.NewDecoder(bytes.NewReader(a.Value))
	decoder.UseNumber()
	if decoder.Decode(&v) == nil {
		if linux, ok := v["linux"].(map[string]any); ok {
			if filter, ok := linux["seccomp"].(map[string]any); ok {
				filter["syscalls"] = []any{}
				if text, err := json.Marshal(v); err == nil {
					return recordedAny{a.TypeUrl, text}
				}
			}
		}
	}
	return recordedAny{a.TypeUrl, a.Value}
}

// addProc records files and links of a process, "" being the machine.
func (r *recording) addProc(pid string, names ...string) {
	files := map[string]string{}
	for _, name := range names {
		path := filepath.Join("/proc", pid, name)
		if link, err := os.Readlink(path); err == nil {
			files[name] = link
		} else if content, err := os.ReadFile(path); err == nil {
			files[name] = string(content)
		}
	}
	r.Proc[pid] = files
}

// anonymise takes out what is of the machine on which it was recorded.
func (r *recording) anonymise(t *testing.T, root string) {
	t.Helper()
	machine := collectortest.Hostname(t)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(root), []byte("/var/lib/node"))
	text = bytes.ReplaceAll(text, []byte("HOSTNAME="+machine+`"`), []byte(`HOSTNAME=chost"`))
	text = bytes.ReplaceAll(text, []byte(`"hostname":"`+machine+`"`), []byte(`"hostname":"chost"`))
	*r = recording{}
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
}
