package realnode

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// KubeEnv is the environment variable that names the folder with the programs of Kubernetes: etcd,
// kube-apiserver and kubelet. `go run tasks.go daemons` builds them; what runs them is [Kube].
const KubeEnv = "ROLLCALL_REALNODE_KUBE"

var kubePrograms = []string{"etcd", "kube-apiserver", "kubelet"}

// RequireKube lets the test go on only where a node of Kubernetes is wanted and can run. It calls
// [Require], and skips the test where the programs of Kubernetes have not been built.
func RequireKube(t testing.TB) {
	t.Helper()
	Require(t)
	if os.Getenv(KubeEnv) == "" {
		t.Skip(
			"needs kube-apiserver and kubelet: build them with `go run tasks.go daemons`, then " +
				"run `go run tasks.go e2e`")
	}
	for _, name := range kubePrograms {
		if _, err := os.Stat(filepath.Join(os.Getenv(KubeEnv), name)); err != nil {
			t.Fatalf("%s=%s: %v", KubeEnv, os.Getenv(KubeEnv), err)
		}
	}
}

// Kube is a node of Kubernetes with a cluster around it: etcd, kube-apiserver, containerd and
// kubelet. There is no scheduler, so that a pod needs spec.nodeName, and there are no controllers:
// what they would make the test makes itself. Nothing makes service accounts or their tokens
// either, and pods have none.
//
// The kubelet runs in a mount namespace of its own. What it mounts for volumes, as of secrets,
// containers do not see.
type Kube struct {
	Etcd       Daemon
	APIServer  Daemon // Stop takes a minute while anybody watches: Kill it
	Kubelet    Daemon
	Containerd *Containerd
	Root       string // the instance's folder
	Version    string // the kubelet's, such as "1.37.2"

	Node       string // the node's name
	URL        string // of the API server
	CA         string // file of the certificate that the API server shows
	Token      string // of a user who may do everything at both
	SigningKey string // file of the key that signs service accounts' tokens

	KubeletURL  string // its name in KubeletCert is Node
	KubeletCert string // file of the certificate that the kubelet shows, and has signed itself
	PodsSocket  string // of the Pods API; before 1.37 there is none
	StaticPods  string // folder for manifests of static pods

	flags []string // of the API server, beside the usual ones
}

// Issuer is who the API server says that service accounts' tokens are from, and for.
const Issuer = "https://kubernetes.default.svc"

// StartKubeDir starts a node in dir, an existing folder that this package may fill and remove; an
// empty dir means a new temporary folder. The caller has called [RequireKube], imports images into
// the namespace "k8s.io" of Containerd, and closes the node.
func StartKubeDir(dir string) (*Kube, error) {
	dir, err := newFolder(dir)
	if err != nil {
		return nil, err
	}
	k, err := startKube(dir)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func newKube(dir string) *Kube {
	in := func(name string) string { return filepath.Join(dir, name) }
	return &Kube{Root: dir, Node: strings.ToLower(filepath.Base(dir)), Token: rand.Text(),
		CA: in("apiserver/apiserver.crt"), SigningKey: in("accounts.key"),
		KubeletCert: in("k/pki/kubelet.crt"), PodsSocket: in("k/pods-api/pods-api.sock"),
		StaticPods: in("static")}
}

func startKube(dir string) (k *Kube, err error) {
	k = newKube(dir)
	if k.Version, err = versionOf(kubeProgram("kubelet")); err != nil {
		return k, err
	}
	for _, folder := range []string{k.StaticPods, k.in("apiserver"), k.in("kube")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return k, fmt.Errorf("set up Kubernetes: %w", err)
		}
	}
	for _, start := range []func() error{k.startEtcd, k.startAPIServer, k.startRuntime,
		k.startKubelet} {
		if err := start(); err != nil {
			return k, err
		}
	}
	return k, nil
}

func (k *Kube) in(name string) string { return filepath.Join(k.Root, name) }

// write writes a file of the instance, as JSON if it is no text.
func (k *Kube) write(name string, content any) error {
	text, ok := content.(string)
	if !ok {
		data, err := json.Marshal(content)
		if err != nil {
			return fmt.Errorf("set up Kubernetes: %s: %w", name, err)
		}
		text = string(data)
	}
	if err := os.WriteFile(k.in(name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("set up Kubernetes: %w", err)
	}
	return nil
}

// run starts one of the programs of Kubernetes.
func (k *Kube) run(name string, ready func(context.Context) error, argv ...string) (Daemon, error) {
	p := &process{name: name, dir: k.Root, ready: ready, argv: argv}
	return Daemon{p: p}, p.start()
}

func kubeProgram(name string) string { return filepath.Join(os.Getenv(KubeEnv), name) }

func (k *Kube) startEtcd() (err error) {
	client, peers := "http://"+freeAddress(), "http://"+freeAddress()
	k.Etcd, err = k.run("etcd", func(ctx context.Context) error {
		return answers(ctx, http.DefaultClient, client+"/health", "", http.StatusOK)
	}, kubeProgram("etcd"), "--data-dir", k.in("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
		"--initial-cluster", "default="+peers)
	if err != nil {
		return err
	}
	return k.write("kube/etcd", client)
}

func (k *Kube) startAPIServer() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("set up kube-apiserver: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("set up kube-apiserver: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	kubelet := rand.Text()
	users := k.Token + ",admin,admin,system:masters\n" + kubelet + ",system:node:" + k.Node + "," +
		k.Node + ",system:nodes\n"
	if err := errors.Join(k.write("accounts.key", string(text)),
		k.write("kube/users.csv", users), k.write("kube/kubelet.token", kubelet)); err != nil {
		return err
	}
	etcd, err := os.ReadFile(k.in("kube/etcd"))
	if err != nil {
		return fmt.Errorf("set up kube-apiserver: %w", err)
	}
	address := freeAddress()
	_, port, _ := net.SplitHostPort(address)
	k.URL = "https://" + address
	k.APIServer, err = k.run("kube-apiserver", func(ctx context.Context) error {
		client, err := verifying(k.CA)
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		return answers(ctx, client, k.URL+"/readyz", k.Token, http.StatusOK)
	}, append([]string{kubeProgram("kube-apiserver"), "--etcd-servers", string(etcd),
		"--cert-dir", filepath.Dir(k.CA), "--secure-port", port, "--bind-address", "127.0.0.1",
		"--service-account-key-file", k.SigningKey,
		"--service-account-signing-key-file", k.SigningKey, "--service-account-issuer", Issuer,
		"--token-auth-file", k.in("kube/users.csv"), "--authorization-mode", "Node,RBAC",
		"--service-cluster-ip-range", "10.0.0.0/24",
		"--disable-admission-plugins", "ServiceAccount"}, k.flags...)...)
	return err
}

func (k *Kube) startRuntime() (err error) {
	if k.Containerd, err = startContainerd(k.Root, collect(nil)); err != nil {
		return err
	}
	archive, err := imageArchive(PauseImage, []string{"sleep", "9999999"})
	if err != nil {
		return err
	}
	if _, _, err = k.Containerd.ctr(archive, "k8s.io", "images", "import", "--snapshotter",
		"overlayfs", "-"); err != nil {
		return err
	}
	return writeNetwork(k.Root)
}

// ownPlaces runs the kubelet where it does not change the machine: what it writes below /var/lib
// and /var/log is gone with it, and the kernel's settings, which the kubelet would set, look as if
// it had.
const ownPlaces = `set -e
mount -t tmpfs none /var/lib
mount -t tmpfs none /var/log
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
	kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
	file=/var/lib/$(echo ${setting%=*} | tr / .)
	echo ${setting#*=} >$file
	mount --bind $file /proc/sys/${setting%=*}
done
exec "$@"`

func (k *Kube) startKubelet() (err error) {
	token, err := os.ReadFile(k.in("kube/kubelet.token"))
	if err != nil {
		return fmt.Errorf("set up kubelet: %w", err)
	}
	type object = map[string]any
	named := func(kind string, content object) []object {
		return []object{{"name": "it", kind: content}}
	}
	kubeconfig := object{"apiVersion": "v1", "kind": "Config", "current-context": "it",
		"clusters": named("cluster",
			object{"server": k.URL, "certificate-authority": k.CA}),
		"users":    named("user", object{"token": string(token)}),
		"contexts": named("context", object{"cluster": "it", "user": "it"})}
	address := freeAddress()
	k.KubeletURL = "https://" + address
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	group := "/" + groupName(k.Root)
	config := object{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": "127.0.0.1", "port": number, "readOnlyPort": 0, "healthzPort": 0,
		// What it has asked about a user it remembers for a second, and not for minutes.
		"authentication": object{"anonymous": object{"enabled": false},
			"webhook": object{"enabled": true, "cacheTTL": "1s"}},
		"authorization": object{"mode": "Webhook",
			"webhook": object{"cacheAuthorizedTTL": "1s", "cacheUnauthorizedTTL": "1s"}},
		"staticPodPath":            k.StaticPods,
		"containerRuntimeEndpoint": "unix://" + k.Containerd.Socket,
		"podLogsDir":               k.in("logs"), "volumePluginDir": k.in("plugins"),
		"cgroupDriver": "cgroupfs", "cgroupsPerQOS": true, "cgroupRoot": group,
		"enforceNodeAllocatable": []string{}, "failCgroupV1": false, "failSwapOn": false,
		"evictionHard": object{}, "imageGCHighThresholdPercent": 100,
		"makeIPTablesUtilChains": false, "oomScoreAdj": 0, "maxPods": 500,
		"registryPullQPS": 0, "eventRecordQPS": 0,
		// A container that ends again and again is started again after a second, not 10.
		"crashLoopBackOff": object{"maxContainerRestartPeriod": "1s"},
		"featureGates":     object{"KubeletCrashLoopBackOffMax": true}, // off before 1.35
	}
	if err := errors.Join(makeGroups(groupName(k.Root)),
		k.write("kube/kubelet.kubeconfig", kubeconfig),
		k.write("kube/kubelet.json", config)); err != nil {
		return err
	}
	k.Kubelet, err = k.run("kubelet", func(ctx context.Context) error {
		client, err := verifying(k.KubeletCert)
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		client.Transport.(*http.Transport).TLSClientConfig.ServerName = k.Node
		// It answers before it knows anybody, and without the API server it cannot know anybody.
		return answers(ctx, client, k.KubeletURL+"/healthz", "", http.StatusUnauthorized)
	}, "unshare", "--mount", "--propagation", "slave", "sh", "-c", ownPlaces, "sh",
		kubeProgram("kubelet"), "--config", k.in("kube/kubelet.json"),
		"--kubeconfig", k.in("kube/kubelet.kubeconfig"), "--hostname-override", k.Node,
		"--root-dir", k.in("k"), "--cert-dir", filepath.Dir(k.KubeletCert))
	return err
}

// ReplaceKubelet ends the kubelet and starts one that knows nothing of what the old one has
// written: it has another certificate, and other sockets at the same paths.
func (k *Kube) ReplaceKubelet() {
	k.Kubelet.Kill()
	k.Kubelet.must(os.Rename(k.in("k"), k.in(fmt.Sprint("k.", time.Now().UnixNano()))))
	k.Kubelet.must(k.Kubelet.p.start())
}

// For returns a handle on the same node whose failures fail t.
func (k *Kube) For(t testing.TB) *Kube {
	bound := *k
	bound.Etcd.tb, bound.APIServer.tb, bound.Kubelet.tb = t, t, t
	bound.Containerd = k.Containerd.For(t)
	return &bound
}

// Heal starts what does not run, and thaws what is frozen: a test before may have failed.
func (k *Kube) Heal() {
	for _, d := range []Daemon{k.Etcd, k.APIServer, k.Containerd.Daemon, k.Kubelet} {
		if d.Pid() == 0 {
			d.Restart()
		}
		d.Thaw()
	}
}

// Close ends the daemons and the pods and removes the folder.
func (k *Kube) Close() error {
	var errs []error
	for _, d := range []Daemon{k.Kubelet, k.APIServer, k.Etcd} {
		if d.p != nil {
			errs = append(errs, d.p.stop(0))
		}
	}
	if k.Containerd == nil {
		return errors.Join(append(errs, removeFolder(k.Root))...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	client, conn, err := dialCRI(k.Containerd.Socket)
	if err == nil {
		removePods(ctx, client)
		err = conn.Close()
	}
	return errors.Join(append(errs, err, k.Containerd.Close())...)
}

// verifying returns a client that trusts the certificates in a file.
func verifying(file string) (*http.Client, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(content)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}, nil
}

// answers returns an error unless the answer at a URL has the status.
func answers(ctx context.Context, client *http.Client, url, token string, status int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != status {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// freeAddress returns a local address that nobody listens at. It is none of those from which the
// kernel takes ports for connections.
func freeAddress() string {
	for {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+mathrand.IntN(12_000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close() // it has served its purpose
			return address
		}
	}
}
