package realnode

import (
	"errors"
	"os"
	"testing"
)

// StartAPIServer starts etcd and kube-apiserver without a node, until the test ends. flags are more
// of the API server's.
func StartAPIServer(t testing.TB, flags ...string) *Kube {
	t.Helper()
	dir, err := newFolder("")
	if err != nil {
		t.Fatal(err)
	}
	k := newKube(dir)
	k.flags = flags
	err = errors.Join(os.MkdirAll(k.in("apiserver"), 0o700), os.MkdirAll(k.in("kube"), 0o700))
	if err == nil {
		err = k.startEtcd()
	}
	if err == nil {
		err = k.startAPIServer()
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	k.Etcd.tb, k.APIServer.tb = t, t
	return k
}
