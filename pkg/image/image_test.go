package image_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/image"
)

const hex64 = "5ad0e5b1c0ffee5ad0e5b1c0ffee5ad0e5b1c0ffee5ad0e5b1c0ffee5ad0e5b1"

func TestSplit(t *testing.T) {
	tests := []struct {
		in   string
		want image.Ref
		err  error
	}{
		{in: "", err: image.ErrEmpty},
		{in: "sha256:" + hex64, err: image.ErrDigest},
		{in: "busybox", want: image.Ref{Name: "busybox", ShortName: "busybox"}},
		{in: "busybox:1.36", want: image.Ref{Name: "busybox", ShortName: "busybox", Tag: "1.36"}},
		{in: "acme/cart", want: image.Ref{Name: "acme/cart", ShortName: "cart"}},
		{in: "acme/cart:9", want: image.Ref{Name: "acme/cart", ShortName: "cart", Tag: "9"}},
		{in: "acme/shop/cart:9", want: image.Ref{Name: "acme/shop/cart", Registry: "acme", ShortName: "cart", Tag: "9"}},
		{in: "reg.acme.io/cart:9", want: image.Ref{Name: "reg.acme.io/cart", ShortName: "cart", Tag: "9"}},
		{
			in: "reg.acme.io:5000/shop/cart",
			want: image.Ref{Name: "reg.acme.io:5000/shop/cart", Registry: "reg.acme.io:5000",
				ShortName: "cart"},
		},
		{
			in: "reg.acme.io:5000/shop/cart:9-rc.1",
			want: image.Ref{Name: "reg.acme.io:5000/shop/cart", Registry: "reg.acme.io:5000",
				ShortName: "cart", Tag: "9-rc.1"},
		},
		{in: "busybox@sha256:" + hex64, want: image.Ref{Name: "busybox", ShortName: "busybox", Digest: "sha256:" + hex64}},
		{in: "acme/cart:9@sha256:" + hex64, want: image.Ref{Name: "acme/cart", ShortName: "cart", Tag: "9", Digest: "sha256:" + hex64}},
		{
			in: "reg.acme.io:5000/a/b/c:9@sha256:" + hex64,
			want: image.Ref{Name: "reg.acme.io:5000/a/b/c", Registry: "reg.acme.io:5000",
				ShortName: "c", Tag: "9", Digest: "sha256:" + hex64},
		},
		{in: "reg.acme.io:5000/cart", want: image.Ref{Name: "reg.acme.io:5000/cart", ShortName: "cart"}},
		{in: "cart@sha512:ab", want: image.Ref{Name: "cart", ShortName: "cart", Digest: "sha512:ab"}},

		// Forms a daemon does not produce but a configuration may.
		{in: "@sha256:ab", want: image.Ref{Name: "@sha256", ShortName: "@sha256", Tag: "ab"}},
		{in: "ubuntu:16.04@blake3:ab", want: image.Ref{Name: "ubuntu", ShortName: "ubuntu", Tag: "16.04", Digest: "blake3:ab"}},
		{in: "sha512:" + hex64 + hex64, err: image.ErrDigest},
		{in: "sha512:1.0", want: image.Ref{Name: "sha512", ShortName: "sha512", Tag: "1.0"}},
		{in: "ubuntu@other", want: image.Ref{Name: "ubuntu", ShortName: "ubuntu"}},
		{in: "cart@shadow", want: image.Ref{Name: "cart", ShortName: "cart"}},
		{in: "cart:", want: image.Ref{Name: "cart", ShortName: "cart"}},
		{in: "/cart", want: image.Ref{Name: "/cart", ShortName: "cart"}},
		{in: "acme//cart", want: image.Ref{Name: "acme//cart", Registry: "acme", ShortName: "cart"}},
	}
	for _, tt := range tests {
		got, err := image.Split(tt.in)
		if !errors.Is(err, tt.err) || got != tt.want {
			t.Errorf("Split(%q) = %+v, %v; want %+v, %v", tt.in, got, err, tt.want, tt.err)
		}
		if err != nil && tt.in != "" && !strings.Contains(err.Error(), tt.in) {
			t.Errorf("Split(%q): error %q does not name the input", tt.in, err)
		}
	}
}

func TestForContainer(t *testing.T) {
	tests := []struct {
		in   string
		want image.Ref
		err  error
	}{
		{in: "acme/cart", want: image.Ref{Name: "acme/cart", ShortName: "cart", Tag: "latest"}},
		{in: "acme/cart:9", want: image.Ref{Name: "acme/cart", ShortName: "cart", Tag: "9"}},
		{
			in: "reg.acme.io/shop/cart@sha256:" + hex64,
			want: image.Ref{
				Name: "reg.acme.io/shop/cart", Registry: "reg.acme.io", ShortName: "cart",
				Tag: "latest", Digest: "sha256:" + hex64,
			},
		},
		{in: "sha256:" + hex64, want: image.Ref{Name: "sha256:" + hex64}, err: image.ErrDigest},
		{in: "", err: image.ErrEmpty},
	}
	for _, tt := range tests {
		got, err := image.ForContainer(tt.in)
		if !errors.Is(err, tt.err) || got != tt.want {
			t.Errorf("ForContainer(%q) = %+v, %v; want %+v, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestSplitRepoTag(t *testing.T) {
	tests := []struct{ in, repo, tag string }{
		{"acme/cart:9", "acme/cart", "9"},
		{"reg.acme.io:5000/shop/cart:9", "reg.acme.io:5000/shop/cart", "9"},
		{"reg.acme.io:5000/shop/cart", "reg.acme.io:5000/shop/cart", ""},
		{"scratchpad", "scratchpad", ""},
		{"<none>:<none>", "<none>", "<none>"},
		{"", "", ""},
	}
	for _, tt := range tests {
		if repo, tag := image.SplitRepoTag(tt.in); repo != tt.repo || tag != tt.tag {
			t.Errorf("SplitRepoTag(%q) = %q, %q; want %q, %q", tt.in, repo, tag, tt.repo, tt.tag)
		}
	}
}

func TestRepoDigest(t *testing.T) {
	tests := []struct{ in, want string }{
		{"acme/cart@sha256:" + hex64, "sha256:" + hex64},
		{"reg:5000/acme/cart:9@sha256:ab", "sha256:ab"},
		{"acme/cart@sha512:ab", "sha512:ab"},
		{"acme/cart@blake3:ab", "blake3:ab"},
		{"acme/cart@sha256:", ""},
		{"acme/cart:9", ""},
		{"sha256:ab", ""},
		{"<none>@<none>", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := image.RepoDigest(tt.in); got != tt.want {
			t.Errorf("RepoDigest(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestDomain(t *testing.T) {
	tests := []struct{ in, want string }{
		{"docker.io/redis", "docker.io"},
		{"myreg:5000/img:1", "myreg:5000"},
		{"localhost/img", "localhost"},
		{"org/sub/img", ""},
		{"redis:7.2", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := image.Domain(tt.in); got != tt.want {
			t.Errorf("Domain(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestSpellings(t *testing.T) {
	tests := []struct{ in, short, full string }{
		{"redis", "redis", "docker.io/library/redis"},
		{"redis:7@sha256:ab", "redis:7@sha256:ab", "docker.io/library/redis:7@sha256:ab"},
		{"docker.io/library/redis:7", "redis:7", "docker.io/library/redis:7"},
		{"index.docker.io/library/redis", "redis", "docker.io/library/redis"},
		{"docker.io/redis", "redis", "docker.io/library/redis"},
		{"library/redis", "redis", "docker.io/library/redis"},
		{"acme/app", "acme/app", "docker.io/acme/app"},
		{"docker.io/acme/app:1", "acme/app:1", "docker.io/acme/app:1"},
		{"reg.io/library/redis", "reg.io/library/redis", "reg.io/library/redis"},
		{"localhost/app", "localhost/app", "localhost/app"},
		{"reg:5000/app", "reg:5000/app", "reg:5000/app"},
		{"sha256:" + hex64, "sha256:" + hex64, "sha256:" + hex64},
		{"", "", ""},
	}
	for _, tt := range tests {
		if short, full := image.Spellings(tt.in); short != tt.short || full != tt.full {
			t.Errorf("Spellings(%q) = %q, %q; want %q, %q", tt.in, short, full, tt.short, tt.full)
		}
	}
}

func TestIsPause(t *testing.T) {
	for _, name := range []string{
		"kubernetes/pause",
		"registry.k8s.io/pause:3.9",
		"registry.k8s.io/pause:3.9@sha256:" + hex64,
		"k8s.gcr.io/pause",
		"gcr.io/google_containers/pause-amd64:3.0",
		"asia.gcr.io/google-containers/pause-arm64:3.1",
		"602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/pause:3.5",
		"mcr.microsoft.com/oss/kubernetes/pause:3.9",
		"aksrepos.azurecr.io/mirror/pause-amd64:3.1",
		"mcr.microsoft.com/k8s/core/pause:1.2.0",
		"kubeletwin/pause",
		"upstream/pause-win1809:1",
		"example.net/pause-windows-amd64",
		"example.net/pause-linux-arm64",
		"rancher/pause:3.6",
		"rancher/mirrored-pause:3.6",
		"cdk/pause-s390x",
		"giantswarm/pause",
		"reg.local:5000/x/pause",
		"amazon/amazon-ecs-pause:0.1.0", "aws-fargate-pause",
		"openshift/origin-pod:v3.11",
		"registry.access.redhat.com/rhel7/pod-infrastructure:latest",
		"pause:3.9",
	} {
		if !image.IsPause(name) {
			t.Errorf("IsPause(%q) = false", name)
		}
	}
	for _, name := range []string{
		"", "sha256:" + hex64,
		"myrepo/eks/pause-button", "acme/pauses", "acme/mypause", "acme/pause/app",
		"acme/mirrored-app", "acme/cart:pause", "myopenshift/origin-pod", "acme/pause-",
		"pause.example.net/cart",
	} {
		if image.IsPause(name) {
			t.Errorf("IsPause(%q) = true", name)
		}
	}
}

// FuzzSplit checks that the parts of any reference are parts of it and that
// splitting a name that came out of Split changes nothing more.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{
		"", "sha256:ab", "busybox:1.36", "reg.io:5000/a/b:1@sha256:ab", "@sha", "a@sha@sha256:x",
		"a:/b", "//:@sha",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := image.Split(s)
		if err != nil {
			if r != (image.Ref{}) {
				t.Fatalf("Split(%q) = %+v with error %v", s, r, err)
			}
			return
		}
		if !strings.HasPrefix(s, r.Name) || !strings.HasSuffix(r.Name, r.ShortName) ||
			!strings.HasPrefix(r.Name, r.Registry) || !strings.HasSuffix(s, r.Digest) ||
			!strings.Contains(s, r.Tag) {
			t.Fatalf("Split(%q) = %+v: a part is not a part of the input", s, r)
		}
		if strings.Contains(r.ShortName, "/") || strings.Contains(r.Tag, "/") ||
			strings.Contains(r.Registry, "/") {
			t.Fatalf("Split(%q) = %+v: slash in a part that cannot have one", s, r)
		}
		if repo, tag := image.SplitRepoTag(r.Name + ":t"); repo != r.Name || tag != "t" {
			t.Fatalf("Split(%q).Name = %q does not take a tag back: %q, %q", s, r.Name, repo, tag)
		}
		image.IsPause(s)
		image.Domain(s)
		if d := image.RepoDigest(s); d != "" && !strings.HasSuffix(s, "@"+d) {
			t.Fatalf("RepoDigest(%q) = %q", s, d)
		}
	})
}
