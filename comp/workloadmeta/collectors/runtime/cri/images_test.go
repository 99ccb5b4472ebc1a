package cri

import (
	"context"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func digits(c string) string { return strings.Repeat(c, 64) }

func TestImagesChange(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	other := "sha256:" + digits("b")
	c := newCollector(t, f.socket(t), nil)
	a := c.pull()
	if i := a.images[sharedImage]; i == nil || i.OS != "linux" || i.SizeBytes != 7 ||
		i.Name != "example.test/app:v1" {
		t.Fatalf("%+v", i)
	}
	minute := func() *answer {
		for range 12 {
			a = c.pull()
		}
		return a
	}
	// A second tag, and an image that no container uses.
	f.with(func() {
		f.images = []*runtimeapi.Image{
			{Id: sharedImage, RepoTags: []string{"example.test/app:v1", "example.test/app:v2"}},
			{Id: other, RepoTags: []string{"example.test/new:1"}},
		}
		f.imageStatuses[other] = &runtimeapi.ImageStatusResponse{Image: f.images[1],
			Info: map[string]string{"info": `{"imageSpec":{"os":"linux"}}`}}
	})
	if a = minute(); len(a.images) != 2 ||
		!slices.Equal(a.images[sharedImage].RepoTags,
			[]string{"example.test/app:v1", "example.test/app:v2"}) ||
		a.images[sharedImage].OS != "linux" || a.images[other].OS != "linux" {
		t.Errorf("%v", a.images)
	}
	// The tag moves to the other image, then the first one goes.
	f.with(func() {
		f.images = []*runtimeapi.Image{{Id: sharedImage},
			{Id: other, RepoTags: []string{"example.test/new:1", "example.test/app:v1"}}}
	})
	if a = minute(); len(a.images[sharedImage].RepoTags) != 0 ||
		len(a.images[other].RepoTags) != 2 {
		t.Errorf("%v", a.images)
	}
	// Issue 38: the container is still of the image that it was started from.
	if k := a.containers[id]; k.Image.ID != sharedImage ||
		k.Image.RawName != "example.test/app:v1" || k.Image.Tag != "v1" {
		t.Errorf("after its tag has moved: %+v", k.Image)
	}
	f.with(func() { f.images = f.images[1:] })
	if a = minute(); len(a.images) != 1 || a.containers[id].Image.ID != sharedImage ||
		a.containers[id].Image.Name != "example.test/app" {
		t.Errorf("%v", a.images)
	}
	if f.asked(sharedImage) != "v" || f.asked(other) != "v" {
		t.Errorf("images were asked for %q and %q", f.asked(sharedImage), f.asked(other))
	}
}

func TestContainersShareTheirImage(t *testing.T) {
	f := newFake()
	a, b := f.add(0, running), f.add(1, running)
	got := newCollector(t, f.socket(t), nil).pull()
	x, y := got.containers[a].Image, got.containers[b].Image
	if x.ID != sharedImage || unsafe.StringData(x.ID) != unsafe.StringData(y.ID) ||
		unsafe.StringData(x.Name) != unsafe.StringData(y.Name) {
		t.Errorf("%+v and %+v share nothing", x, y)
	}
}

// An image that has no name but its ID keeps for its containers the name that it had.
func TestContainerKeepsTheNameOfItsImage(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.change(id, func(*runtimeapi.Container) {}, func(s *runtimeapi.ContainerStatus) {
		s.Image.Image = sharedImage
	})
	c := newCollector(t, f.socket(t), nil)
	before := c.pull().containers[id]
	if before.Image.Name != "example.test/app" || before.Image.RawName != sharedImage {
		t.Fatalf("%+v", before.Image)
	}
	f.with(func() { f.images = []*runtimeapi.Image{{Id: sharedImage}} })
	for range 13 {
		if k := c.pull().containers[id]; k != before {
			t.Fatalf("%+v", k.Image)
		}
	}
}

// A container of an image that is not known has images listed at once, and once only.
func TestUnknownImageIsLookedFor(t *testing.T) {
	f := newFake()
	f.add(0, running)
	c := newCollector(t, f.socket(t), nil)
	c.pull()
	lists := func(pulls int) int {
		f.count("")
		for range pulls {
			c.pull()
		}
		return f.count("ListImages")
	}
	fresh := "sha256:" + digits("c")
	id := f.add(1, running)
	f.change(id, func(k *runtimeapi.Container) { k.Image.Image, k.ImageRef = fresh, fresh },
		func(s *runtimeapi.ContainerStatus) { s.Image.Image, s.ImageRef = fresh, fresh })
	f.with(func() {
		f.images = append(f.images,
			&runtimeapi.Image{Id: fresh, RepoTags: []string{"example.test/fresh:1"}})
	})
	if n := lists(1); n != 1 {
		t.Errorf("%d lists for an unknown image", n)
	}
	if k := c.pull().containers[id]; k.Image.Name != "example.test/fresh" {
		t.Errorf("%+v", k.Image)
	}
	lost := f.add(2, running)
	f.change(lost, func(k *runtimeapi.Container) {
		k.Image.Image, k.ImageRef = "", "reg.test/lost@sha256:"+digits("d")
	},
		func(s *runtimeapi.ContainerStatus) {
			s.Image.Image, s.ImageRef = "reg.test/lost:1", "reg.test/lost@sha256:"+digits("d")
		})
	if n := lists(10); n != 1 {
		t.Errorf("%d lists for an image that the runtime does not have", n)
	}
	if k := c.pull().containers[lost]; k.Image.ID != "" || k.Image.Name != "reg.test/lost" ||
		k.Image.RepoDigest != "sha256:"+digits("d") {
		t.Errorf("%+v", k.Image)
	}
}

func TestNoImages(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.change(id, func(*runtimeapi.Container) {}, func(s *runtimeapi.ContainerStatus) {
		s.Image.Image = sharedImage
	})
	c := newCollector(t, f.socket(t), func(o *Options) { o.NoImages = true })
	if len(c.Describe().Kinds) != 1 {
		t.Errorf("kinds = %v", c.Describe().Kinds)
	}
	for range 40 {
		a := c.pull()
		if len(a.images) != 0 || a.containers[id].Image.Name != "example.test/app" {
			t.Fatalf("%v %+v", a.images, a.containers[id].Image)
		}
	}
	// the container has the labels of its image
	if lists, asked := f.count("ListImages"), f.count("ImageStatus"); lists != 1 || asked != 1 {
		t.Errorf("%d lists, %d statuses", lists, asked)
	}
}

// A list of images that fails keeps the images, and the containers come all the same.
func TestImageListFails(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	c := newCollector(t, f.socket(t), nil)
	c.pull()
	f.with(func() {
		f.before = func(_ context.Context, m, _ string) error {
			if m == "ListImages" {
				return status.Error(codes.Internal, "image store is busy")
			}
			return nil
		}
	})
	for range 30 {
		if a := c.pull(); a.images[sharedImage] == nil || a.containers[id] == nil {
			t.Fatal("images or containers are lost")
		}
	}
	if n := f.count("ListImages"); n < 3 || n > 8 {
		t.Errorf("images were listed %d times", n)
	}
}

// Issue 20: one image that cannot be read keeps nothing from the others.
func TestBug20OneBadImage(t *testing.T) {
	f := newFake()
	f.add(0, running)
	for _, c := range []string{"b", "c", "d"} {
		i := &runtimeapi.Image{Id: "sha256:" + digits(c), RepoTags: []string{"x/" + c + ":1"}}
		f.images = append(f.images, i)
		f.imageStatuses[i.Id] = &runtimeapi.ImageStatusResponse{Image: i,
			Info: map[string]string{"info": `{"imageSpec":{"os":"linux"}}`}}
	}
	f.imageStatuses["sha256:"+digits("b")].Info["info"] = `{"imageSpec":[`
	delete(f.imageStatuses, "sha256:"+digits("c")) // removed since it was listed
	c := newCollector(t, f.socket(t), nil)
	a := c.pull()
	if len(a.images) != 4 || a.images["sha256:"+digits("d")].OS != "linux" ||
		a.images["sha256:"+digits("b")].OS != "" {
		t.Errorf("%v", a.images)
	}
}

// Issues 18 and 26: the ID of an image, the digest of a repository and the name are three things,
// told in several ways.
func TestBug18And26ImageReferences(t *testing.T) {
	id, digest := digits("a"), "sha256:"+digits("d")
	list := &runtimeapi.Image{Id: "sha256:" + id,
		RepoTags:    []string{"reg.test/shop/web:2", "reg.test/shop/web:other"},
		RepoDigests: []string{"reg.test/shop/web@" + digest}}
	local := &runtimeapi.Image{Id: "sha256:" + digits("b"), RepoTags: []string{"local:1"}}
	for _, tc := range []struct {
		name                         string
		listName, listRef, listID    string
		statusName, statusRef, asked string
		wantID, wantRaw, wantName    string
		wantTag, wantDigest          string
	}{
		{"containerd 1.6, imported here", "sha256:" + digits("b"), "sha256:" + digits("b"), "",
			"local:1", "sha256:" + digits("b"), "",
			"sha256:" + digits("b"), "local:1", "local", "1", ""},
		{"containerd 1.6, pulled", "sha256:" + id, "reg.test/shop/web@" + digest, "",
			"reg.test/shop/web:2", "reg.test/shop/web@" + digest, "",
			"sha256:" + id, "reg.test/shop/web:2", "reg.test/shop/web", "2", digest},
		{"containerd 1.7", "sha256:" + id, "reg.test/shop/web@" + digest, "sha256:" + id,
			"reg.test/shop/web:2", "reg.test/shop/web@" + digest, "reg.test/shop/web:other",
			"sha256:" + id, "reg.test/shop/web:other", "reg.test/shop/web", "other", digest},
		{"CRI-O, ID without algorithm", id, id, id, "reg.test/shop/web:2", id, "", "sha256:" + id, "reg.test/shop/web:2", "reg.test/shop/web", "2", digest},
		{"CRI-O, only names", "reg.test/shop/web:2", "reg.test/shop/web@" + digest, "",
			"reg.test/shop/web:2", "reg.test/shop/web@" + digest, "",
			"sha256:" + id, "reg.test/shop/web:2", "reg.test/shop/web", "2", digest},
		{"pinned by digest", "sha256:" + id, "reg.test/shop/web@" + digest, "",
			"reg.test/shop/web@" + digest, "reg.test/shop/web@" + digest, "",
			"sha256:" + id, "reg.test/shop/web@" + digest, "reg.test/shop/web", "", digest},
		{"no name at all", "sha256:" + id, "sha256:" + id, "", "", "", "", "sha256:" + id, "sha256:" + id, "reg.test/shop/web", "2", digest},
		{"nothing", "", "", "", "", "", "", "", "", "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake()
			k := f.add(0, running)
			f.images = []*runtimeapi.Image{list, local}
			f.change(k, func(k *runtimeapi.Container) {
				k.Image.Image, k.ImageRef, k.ImageId = tc.listName, tc.listRef, tc.listID
			},
				func(s *runtimeapi.ContainerStatus) {
					s.Image = &runtimeapi.ImageSpec{Image: tc.statusName,
						UserSpecifiedImage: tc.asked}
					s.ImageRef = tc.statusRef
				})
			got := newCollector(t, f.socket(t), nil).pull().containers[k].Image
			if got.ID != tc.wantID || got.RawName != tc.wantRaw || got.Name != tc.wantName ||
				got.Tag != tc.wantTag || got.RepoDigest != tc.wantDigest {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Images that containers use are asked for before the others.
func TestUsedImagesComeFirst(t *testing.T) {
	f := newFake()
	f.add(0, running)
	for _, c := range []string{"0", "1", "2", "b", "c"} {
		f.images = append(f.images, &runtimeapi.Image{Id: "sha256:" + digits(c)})
	}
	var asked []string
	f.before = func(_ context.Context, m, id string) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if m == "ImageStatus" {
			asked = append(asked, id)
		}
		return nil
	}
	newCollector(t, f.socket(t), func(o *Options) { o.Workers = 1 }).pull()
	if len(asked) != 6 || asked[0] != sharedImage {
		t.Errorf("asked for %v", asked)
	}
}

// The digest under which the image was pulled stays with the container when the image loses it.
func TestContainerKeepsItsRepositoryDigest(t *testing.T) {
	f := newFake()
	id := f.add(0, running)
	f.images = []*runtimeapi.Image{{Id: sharedImage, RepoTags: []string{"example.test/app:v1"},
		RepoDigests: []string{"example.test/app@sha256:" + digits("d")}}}
	c := newCollector(t, f.socket(t), nil)
	before := c.pull().containers[id]
	if before.Image.RepoDigest != "sha256:"+digits("d") {
		t.Fatalf("%+v", before.Image)
	}
	f.with(func() { f.images = nil })
	for range 13 {
		if k := c.pull().containers[id]; k != before {
			t.Fatalf("%+v", k.Image)
		}
	}
}

// A container names its image by a digest, and the list has the same digest with a tag in it or for
// another repository.
func TestImageIsFoundByItsDigest(t *testing.T) {
	digest, image := "sha256:"+digits("e"), "sha256:"+digits("b")
	for _, listed := range []string{"docker.io/library/ubuntu:16.04@" + digest,
		"docker.io/library/ubuntu@" + digest, "mirror.test/ubuntu@" + digest} {
		f := newFake()
		k := f.add(0, running)
		f.images = []*runtimeapi.Image{{Id: image, RepoDigests: []string{listed}}}
		name := "docker.io/library/ubuntu@" + digest
		f.change(k, func(k *runtimeapi.Container) { k.Image.Image, k.ImageRef = name, name },
			func(s *runtimeapi.ContainerStatus) {
				s.Image, s.ImageRef = &runtimeapi.ImageSpec{Image: name}, name
			})
		a := newCollector(t, f.socket(t), nil).pull()
		if got := a.containers[k].Image; got.ID != image || got.ShortName != "ubuntu" ||
			got.Tag != "" || got.RepoDigest != digest {
			t.Errorf("%s: image = %+v", listed, got)
		}
		if i := a.images[image]; i == nil || strings.Contains(i.RepoDigests[0], "16.04") {
			t.Errorf("%s: %+v", listed, i)
		}
	}
}
