package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/test/realnode"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// way returns what status says of the way in which an application asks the kubelet.
func (a *kubeApp) way() collection.Part {
	for _, s := range a.runs.Status() {
		for _, p := range s.Parts {
			if s.ID == "kubelet" && p.Name == a.name {
				return p
			}
		}
	}
	return collection.Part{}
}

// expectWay waits until status says this of the way, with all of these words.
func (a *kubeApp) expectWay(state collection.State, cause workloadmeta.Cause, words ...string) {
	a.t.Helper()
	eventually(a.t, func() string {
		p := a.way()
		text := p.Reason + " " + p.Hint
		if p.State != state || p.Cause != cause ||
			slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return fmt.Sprintf("%s: %+v; want %v, %v, %q", a.name, p, state, cause, words)
		}
		return ""
	})
}

func (k *kubeWorld) expectLive() {
	k.t.Helper()
	for _, a := range k.apps {
		a.expectWay(collection.StateLive, "")
	}
}

// guard looks all the time whether pods that stay, and their containers, have all their tags. What
// it returns ends it, and says whether any of them has ever been told to be gone.
func (k *kubeWorld) guard(pods ...*corev1.Pod) (end func()) {
	stop := make(chan struct{})
	var watching sync.WaitGroup
	for _, a := range k.apps {
		watching.Go(func() {
			for range time.Tick(50 * time.Millisecond) {
				select {
				case <-stop:
					return
				default:
				}
				for _, p := range pods {
					s := &p.Status.ContainerStatuses[0]
					for id, want := range map[tagger.EntityID][]string{
						tagger.KubernetesPod(string(p.UID)): podTags(p),
						tagger.Container(bareID(s)):         containerTags(p, s)} {
						if d := a.tagsDiffer(id, want); d != "" {
							k.t.Errorf("%s: meanwhile %s", a.name, d)
							return
						}
					}
				}
			}
		})
	}
	return func() {
		k.t.Helper()
		close(stop)
		watching.Wait()
		for _, a := range k.apps {
			a.mu.Lock()
			for _, p := range pods {
				for _, id := range []workloadmeta.EntityID{
					{Kind: workloadmeta.KindKubernetesPod, ID: string(p.UID)},
					containerID(bareID(&p.Status.ContainerStatuses[0]))} {
					for _, e := range a.told[id] {
						if e.Type == workloadmeta.EventTypeUnset {
							k.t.Errorf("%s: %s was told to be gone", a.name, id)
						}
					}
				}
			}
			a.mu.Unlock()
		}
	}
}

// ready makes pods and waits until they are.
func (k *kubeWorld) ready(names ...string) (pods []*corev1.Pod) {
	k.t.Helper()
	for _, name := range names {
		k.pod(name, nil)
	}
	for _, name := range names {
		pods = append(pods, k.await(name, "ready", isReady))
	}
	return pods
}

// killContainer ends a pod's only container, behind the back of all.
func (k *kubeWorld) killContainer(p *corev1.Pod) {
	k.t.Helper()
	pid := k.apps[0].expect(bareID(&p.Status.ContainerStatuses[0]), "running", runs).PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
}

func restarted(p *corev1.Pod) bool {
	return isReady(p) && p.Status.ContainerStatuses[0].RestartCount == 1
}

func TestKubeletRestarts(t *testing.T) {
	k := watchedBoth(t)
	pods := k.ready("stays-0", "stays-1", "dies", "leaves")
	k.settled()
	end := k.guard(pods[:2]...)

	k.node.Kubelet.Kill()
	k.node.Kubelet.Restart()
	k.expectLive()
	k.settled()

	away := 20 * time.Second
	if long() {
		away = time.Minute
	}
	k.node.Kubelet.Stop()
	began := time.Now()
	k.killContainer(pods[2])
	k.delete("leaves", 0)
	k.pod("comes", nil)
	for _, a := range k.apps {
		a.expectWay(collection.StateDegraded, workloadmeta.CauseRefused)
	}
	time.Sleep(away - time.Since(began))
	k.node.Kubelet.Restart()
	k.await("comes", "ready", isReady)
	k.await("dies", "restarted", restarted)
	k.gone(pods[3])
	k.settled()

	k.node.ReplaceKubelet()
	k.expectLive()
	k.ready("after")
	k.settled()
	end()
}

func TestKubeAPIServerAway(t *testing.T) {
	k := watchedBoth(t)
	pods := k.ready("stays-0", "stays-1", "dies")
	k.settled()
	end := k.guard(pods[:2]...)

	k.node.APIServer.Kill()
	k.killContainer(pods[2])
	if k.hasPodsAPI() { // it tells of the next instance all the same
		eventually(t, func() string {
			p, err := k.apps[0].store.GetKubernetesPod(string(pods[2].UID))
			if err != nil || p.RestartCount != 1 || !p.Ready {
				return fmt.Sprintf("%+v, %v", p, err)
			}
			return ""
		})
	}
	k.node.APIServer.Restart()
	k.await("dies", "restarted", restarted)
	k.settled()

	// A kubelet that starts now knows no pods.
	k.node.APIServer.Kill()
	k.node.Kubelet.Kill()
	k.node.Kubelet.Restart()
	if k.hasPodsAPI() {
		k.apps[0].expectWay(collection.StateSyncing, "", "waits for the API server")
	}
	time.Sleep(5 * time.Second)
	for _, a := range k.apps {
		for _, p := range pods {
			if _, err := a.store.GetKubernetesPod(string(p.UID)); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
		}
	}
	k.node.APIServer.Restart()
	k.expectLive()
	k.ready("after")
	k.settled()
	end()
}

// TestKubeletFrozen has a kubelet take connections and answer nothing. It still watches when it
// goes on.
func TestKubeletFrozen(t *testing.T) {
	k := watchedBoth(t)
	pods := k.ready("stays", "dies")
	k.settled()
	end := k.guard(pods[0])
	k.node.Kubelet.Freeze()
	k.killContainer(pods[1])
	for _, a := range k.apps {
		a.expectWay(collection.StateDegraded, workloadmeta.CauseTimeout)
	}
	k.node.Kubelet.Thaw()
	k.await("dies", "restarted", restarted)
	k.expectLive()
	k.settled()
	end()
}

// TestKubeLabelChanged prints how long a tag takes that comes of a label alone, of which the Pods
// API tells nobody.
func TestKubeLabelChanged(t *testing.T) {
	k := watchedAll(t)
	pod := k.ready("web")[0]
	k.settled()
	id := tagger.Container(bareID(&pod.Status.ContainerStatuses[0]))
	for _, team := range []string{"green", "red", "yellow"} {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"team":%q}}}`, team)
		if _, err := k.api.CoreV1().Pods(k.ns).Patch(t.Context(), "web",
			types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		began, done := time.Now(), map[string]time.Duration{}
		eventually(t, func() string {
			for _, a := range k.apps {
				tags, err := a.tagger.Tag(id, tagger.LowCardinality)
				if err == nil && slices.Contains(tags, "team:"+team) && done[a.name] == 0 {
					done[a.name] = time.Since(began).Round(time.Millisecond)
				}
			}
			if len(done) < len(k.apps) {
				return fmt.Sprint(done)
			}
			return ""
		})
		t.Logf("team:%s after %v", team, done)
	}
	k.settled()
}

// leeway is for how long the API server accepts a token that has expired: clocks differ.
const leeway = time.Minute

// sign makes a token of an account that expires at a time.
func (a *account) sign(expires time.Time) string {
	k := a.k
	k.t.Helper()
	text, err := os.ReadFile(k.node.SigningKey)
	if err != nil {
		k.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		k.t.Fatal(err)
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"iss": realnode.Issuer,
		"aud": []string{realnode.Issuer}, "iat": now.Add(-time.Hour).Unix(),
		"nbf": now.Add(-time.Hour).Unix(),
		"exp": expires.Unix(), "sub": "system:serviceaccount:" + k.ns + ":" + a.name,
		"kubernetes.io": map[string]any{"namespace": k.ns,
			"serviceaccount": map[string]string{"name": a.name, "uid": a.uid}}})
	if err != nil {
		k.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256"}`)) + "." + encode(claims)
	hash := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		k.t.Fatal(err)
	}
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)),
		s.FillBytes(make([]byte, 32))...))
}

// TestKubeAccess takes from an account, one after the other, what it needs to ask /pods. Each time
// status says what that is, and nothing that is known is lost.
func TestKubeAccess(t *testing.T) {
	k := newKube(t)
	account := newAccount(k)
	account.grant(rule("get", "", "nodes/pods"))
	a := k.watch("/pods", k.endpoint(account))
	pod := k.ready("stays")[0]
	k.settled()
	end := k.guard(pod)

	account.withdraw()
	a.expectWay(collection.StateDegraded, workloadmeta.CauseForbidden, "nodes/pods",
		"system:serviceaccount:"+k.ns+":"+account.name)
	account.grant(rule("get", "", "nodes/pods"))
	k.expectLive()
	k.ready("after-role")
	k.settled()

	account.write(account.sign(time.Now().Add(5*time.Second - leeway)))
	a.expectWay(collection.StateDegraded, workloadmeta.CauseUnauthenticated, "401")
	account.write(account.sign(time.Now().Add(time.Hour)))
	k.expectLive()
	k.ready("after-token")
	k.settled()

	// The kubelet starts anew with another certificate, which the same file holds.
	k.node.ReplaceKubelet()
	k.expectLive()
	k.ready("after-certificate")
	k.settled()
	end()
}

// TestKubeCertificate asks a kubelet that cannot show a certificate that is trusted, or not for the
// name that is wanted. Nothing is asked of it then.
func TestKubeCertificate(t *testing.T) {
	k := newKube(t)
	account := newAccount(k)
	account.grant(rule("get", "", "nodes/pods"))
	wrongCA, wrongName := k.endpoint(account), k.endpoint(account)
	wrongCA.ClientCA = k.node.CA
	wrongName.NodeName = ""
	for _, a := range []*kubeApp{k.watch("/pods", wrongCA), k.watch("/pods", wrongName)} {
		a.expectWay(collection.StateDegraded, workloadmeta.CauseUnverified, k.node.KubeletURL,
			"certificate")
		for e := range a.store.List(workloadmeta.KindKubernetesPod) {
			t.Errorf("%s is known of a kubelet that nobody trusts", e.GetID())
		}
	}
}
