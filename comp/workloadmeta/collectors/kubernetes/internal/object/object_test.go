package object_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// generated are the types that Kubernetes generates, by ours. The name is needed where it is
// another.
var generated = map[reflect.Type]reflect.Type{
	reflect.TypeFor[object.Pod]():           reflect.TypeFor[corev1.Pod](),
	reflect.TypeFor[object.Quantity]():      nil,
	reflect.TypeFor[object.Time]():          reflect.TypeFor[metav1.Time](),
	reflect.TypeFor[object.Container]():     reflect.TypeFor[corev1.Container](),
	reflect.TypeFor[object.VolumeSource]():  reflect.TypeFor[corev1.VolumeSource](),
	reflect.TypeFor[object.StateRunning]():  reflect.TypeFor[corev1.ContainerStateRunning](),
	reflect.TypeFor[object.FieldRef]():      reflect.TypeFor[corev1.ObjectFieldSelector](),
	reflect.TypeFor[object.ResizePolicy]():  reflect.TypeFor[corev1.ContainerResizePolicy](),
	reflect.TypeFor[object.EnvSource]():     reflect.TypeFor[corev1.EnvVarSource](),
	reflect.TypeFor[object.ContainerPort](): reflect.TypeFor[corev1.ContainerPort](),
}

// TestEveryFieldIsNamedAsKubernetesNamesIt compares names and numbers with the generated types,
// whose tags have both.
func TestEveryFieldIsNamedAsKubernetesNamesIt(t *testing.T) {
	compare(t, reflect.TypeFor[object.Pod](), reflect.TypeFor[corev1.Pod]())
	compare(t, reflect.TypeFor[object.Metadata](), reflect.TypeFor[metav1.PartialObjectMetadata]())
	compare(t, reflect.TypeFor[object.ListMeta](), reflect.TypeFor[metav1.ListMeta]())
	compare(t, reflect.TypeFor[object.Status](), reflect.TypeFor[metav1.Status]())
	compare(t, reflect.TypeFor[object.Service](), reflect.TypeFor[corev1.Service]())
	compare(t, reflect.TypeFor[object.EndpointSlice](),
		reflect.TypeFor[discoveryv1.EndpointSlice]())
	compare(t, reflect.TypeFor[object.ResourceSlice](), reflect.TypeFor[resourcev1.ResourceSlice]())
	compare(t, reflect.TypeFor[object.DeviceAttribute](),
		reflect.TypeFor[resourcev1.DeviceAttribute]())
	compare(t, reflect.TypeFor[object.HorizontalPodAutoscaler](),
		reflect.TypeFor[autoscalingv2.HorizontalPodAutoscaler]())
}

var protobufTag = regexp.MustCompile(`^(?:bytes|varint|fixed64),(\d+),`)

func compare(t *testing.T, ours, theirs reflect.Type) {
	for ours.Kind() == reflect.Pointer || ours.Kind() == reflect.Slice {
		if ours.Kind() != theirs.Kind() {
			t.Errorf("%s is to be a %s", ours, theirs.Kind())
			return
		}
		ours, theirs = ours.Elem(), theirs.Elem()
	}
	if want, ok := generated[ours]; ok && want == nil || ours == reflect.TypeFor[object.Time]() {
		return
	}
	if ours.Kind() != reflect.Struct {
		return
	}
	if theirs.Kind() == reflect.Pointer {
		theirs = theirs.Elem()
	}
	byNumber := map[string]reflect.StructField{}
	for i := range theirs.NumField() {
		f := theirs.Field(i)
		if m := protobufTag.FindStringSubmatch(f.Tag.Get("protobuf")); m != nil {
			byNumber[m[1]] = f
		}
	}
	for i := range ours.NumField() {
		f := ours.Field(i)
		want, ok := byNumber[strings.TrimSuffix(f.Tag.Get("pb"), ",shared")]
		if !ok {
			t.Errorf("%s.%s: %s has no field %s", ours, f.Name, theirs, f.Tag.Get("pb"))
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		wantName, _, _ := strings.Cut(want.Tag.Get("json"), ",")
		if name != wantName {
			t.Errorf("%s.%s: is %q in JSON, %s calls field %s %q", ours, f.Name, name, theirs,
				f.Tag.Get("pb"), wantName)
		}
		theirType := want.Type
		if theirType.Kind() == reflect.Pointer && f.Type.Kind() != reflect.Pointer {
			theirType = theirType.Elem()
		}
		compare(t, f.Type, theirType)
	}
}

// TestBothEncodingsAreTheSame makes random objects as Kubernetes has them, and decodes both of
// their encodings.
func TestBothEncodingsAreTheSame(t *testing.T) {
	shape := object.Shape{Pool: object.NewPool(),
		Annotation: func(name string) bool { return !strings.Contains(name, "a") }}
	t.Run("pod", sameInBoth[object.Pod](object.Shape{}, new(corev1.Pod)))
	t.Run("service", sameInBoth[object.Service](shape, new(corev1.Service)))
	t.Run("slice", sameInBoth[object.EndpointSlice](shape, new(discoveryv1.EndpointSlice)))
	t.Run("devices", sameInBoth[object.ResourceSlice](shape, new(resourcev1.ResourceSlice)))
	t.Run("metadata", sameInBoth[object.Metadata](shape, new(metav1.PartialObjectMetadata)))
	t.Run("status", sameInBoth[object.Status](object.Shape{}, new(metav1.Status)))
	t.Run("list", sameInBoth[object.ListMeta](object.Shape{}, new(metav1.ListMeta)))
}

func sameInBoth[T any](shape object.Shape, theirs interface{ Marshal() ([]byte, error) },
) func(*testing.T) {
	return func(t *testing.T) {
		decoder := object.NewDecoder[T](shape)
		rapid.Check(t, func(t *rapid.T) {
			v := reflect.ValueOf(theirs).Elem()
			v.SetZero()
			fill(t, v, 0)
			binary, err := theirs.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(theirs)
			if err != nil {
				t.Fatal(err)
			}
			fromBinary, err := decoder.Protobuf(binary)
			if err != nil {
				t.Fatal(err)
			}
			fromText, err := decoder.JSON(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fromText, fromBinary, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("JSON and protocol buffers (-, +):\n%s\n%s", diff, text)
			}
		})
	}
}

// TestShape: fields and annotations that are not wanted are not there, and what many objects have
// is there once.
func TestShape(t *testing.T) {
	pool := object.NewPool()
	decoder := object.NewDecoder[object.Pod](object.Shape{Pool: pool,
		Omit:       []string{"Spec.Containers", "Status.PodIPs"},
		Annotation: func(name string) bool { return name != "secret" }})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop",
		Labels:      map[string]string{"app": "web", "tier": "front"},
		Annotations: map[string]string{"secret": "s3cr3t", "kept": "yes"}},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "c"}}},
		Status: corev1.PodStatus{PodIP: "10.0.0.1",
			PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}}
	data, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var got [2]*object.Pod
	for i := range got {
		if got[i], err = decoder.Protobuf(data); err != nil {
			t.Fatal(err)
		}
	}
	want := &object.Pod{Meta: object.Meta{Name: "web-0", Namespace: "shop",
		Labels:      map[string]string{"app": "web", "tier": "front"},
		Annotations: map[string]string{"kept": "yes"}},
		Spec: object.PodSpec{NodeName: "node-1"}, Status: object.PodStatus{PodIP: "10.0.0.1"}}
	if diff := cmp.Diff(want, got[0], cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for name, pair := range map[string][2]string{
		"namespace": {got[0].Namespace, got[1].Namespace},
		"node":      {got[0].Spec.NodeName, got[1].Spec.NodeName},
		"label":     {got[0].Labels["app"], got[1].Labels["app"]},
	} {
		if unsafe.StringData(pair[0]) != unsafe.StringData(pair[1]) {
			t.Errorf("two pods of one %s have a copy of it each", name)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a field that there is not can be left out")
		}
	}()
	object.NewDecoder[object.Pod](object.Shape{Omit: []string{"Spec.Typo"}})
}

// TestPoolForgets what nobody has asked for in a while, and keeps what somebody has.
func TestPoolForgets(t *testing.T) {
	pool := object.NewPool()
	often, once := pool.String([]byte("often")), pool.String([]byte("once"))
	for i := range 100_000 {
		text := strconv.Itoa(i % 45_000)
		if got := pool.String([]byte(text)); got != text {
			t.Fatalf("%q, want %q", got, text)
		}
		if i%1000 == 0 && unsafe.StringData(pool.String([]byte("often"))) !=
			unsafe.StringData(often) {
			t.Fatal("what was asked for lately is forgotten")
		}
	}
	if unsafe.StringData(pool.String([]byte("once"))) == unsafe.StringData(once) {
		t.Error("what nobody has asked for since is kept")
	}
}

// fill gives every field that our types might have a value of its own or none.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch v.Type() {
	case reflect.TypeFor[metav1.Time]():
		if rapid.Bool().Draw(t, "time") {
			at := time.Unix(int64(rapid.Uint32().Draw(t, "seconds")), 0)
			v.Set(reflect.ValueOf(metav1.NewTime(at)))
		}
		return
	case reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[metav1.FieldsV1](),
		reflect.TypeFor[intstr.IntOrString]():
		return
	}
	if v.Type().PkgPath() == "k8s.io/apimachinery/pkg/api/resource" {
		q := reflect.New(v.Type())
		text := strconv.Itoa(rapid.IntRange(0, 9999).Draw(t, "quantity")) +
			rapid.SampledFrom([]string{"", "m", "Mi", "k"}).Draw(t, "unit")
		if err := q.Interface().(json.Unmarshaler).UnmarshalJSON(
			[]byte(`"` + text + `"`)); err != nil {
			t.Fatal(err)
		}
		v.Set(q.Elem())
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.StringMatching(`[a-z0-9:/é]{0,6}`).Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(rapid.Int32().Draw(t, "int")))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "pointer") && depth < 7 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 || depth >= 7 {
			return
		}
		for range rapid.IntRange(0, 2).Draw(t, "length") {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			fill(t, v.Index(v.Len()-1), depth+1)
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Slice {
			return
		}
		for range rapid.IntRange(0, 2).Draw(t, "size") {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, depth+1)
			fill(t, value, depth+1)
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if wanted(v.Type(), i) {
				fill(t, v.Field(i), depth+1)
			}
		}
	}
}

// wanted leaves out what no object of ours reads and what would make pods of megabytes.
func wanted(t reflect.Type, i int) bool {
	switch t.Field(i).Name {
	case "Affinity", "ManagedFields", "TopologySpreadConstraints", "Lifecycle", "LivenessProbe",
		"StartupProbe", "Projected", "ISCSI", "RBD", "ScaleIO", "Finalizers", "VolumeClaimTemplate",
		"ProbeHandler", "TypeMeta", "Overhead", "DNSConfig", "LoadBalancer":
		return false
	}
	return t.Field(i).IsExported()
}

// TestWire decodes what a kubelet has sent.
func TestWire(t *testing.T) {
	file, err := os.Open("../../testdata/1.37/wire.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := object.NewDecoder[object.Pod](object.Shape{})
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	pods := 0
	for lines.Scan() {
		var line struct {
			PB    []byte
			Pod   *object.Pod
			Event string
		}
		// The texts beside the bytes have another registry.
		text := bytes.ReplaceAll(lines.Bytes(), []byte("example.org/"), []byte("k137.test/"))
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatal(err)
		}
		if line.PB == nil {
			continue
		}
		got, err := decoder.Protobuf(line.PB)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(line.Pod, got); diff != "" {
			t.Errorf("%s: pod as recorded beside it (-), decoded (+):\n%s", line.Event, diff)
		}
		pods++
	}
	if pods == 0 {
		t.Error("no pod")
	}
}

// FuzzProtobuf: no bytes crash the decoder.
func FuzzProtobuf(f *testing.F) {
	pod, err := base64.StdEncoding.DecodeString("Cg0KBXdlYi0wGgRzaG9wEgISAA==")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pod)
	decoder := object.NewDecoder[object.Pod](object.Shape{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decoder.Protobuf(data)
		if (got == nil) == (err == nil) {
			t.Errorf("%v, %v: want a pod or an error", got, err)
		}
	})
}

// TestQuantity reads what the API accepts for an amount.
func TestQuantity(t *testing.T) {
	for text, want := range map[string]object.Quantity{`"250m"`: "250m", `2`: "2", `0.5`: "0.5",
		`null`: ""} {
		var got object.Quantity
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	var q object.Quantity
	if err := json.Unmarshal([]byte(`{"a":1}`), &q); err == nil ||
		!strings.Contains(err.Error(), "want a string or a number") {
		t.Errorf("an object as a quantity: %v", err)
	}
}
