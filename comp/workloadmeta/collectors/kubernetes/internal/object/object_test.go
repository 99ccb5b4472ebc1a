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

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		want, ok := byNumber[f.Tag.Get("pb")]
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

// TestBothEncodingsAreTheSame makes random pods as Kubernetes has them, and decodes both of their
// encodings.
func TestBothEncodingsAreTheSame(t *testing.T) {
	decoder := object.NewDecoder[object.Pod]()
	rapid.Check(t, func(t *rapid.T) {
		pod := &corev1.Pod{}
		fill(t, reflect.ValueOf(pod).Elem(), 0)
		binary, err := pod.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		fromBinary, err := decoder.Protobuf(binary)
		if err != nil {
			t.Fatal(err)
		}
		fromText := new(object.Pod)
		if err := json.Unmarshal(text, fromText); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fromText, fromBinary); diff != "" {
			t.Errorf("JSON and protocol buffers (-, +):\n%s\n%s", diff, text)
		}
	})
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
	case reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[metav1.FieldsV1]():
		return
	}
	if v.Type().PkgPath() == "k8s.io/apimachinery/pkg/api/resource" {
		q := reflect.New(v.Type())
		text := strconv.Itoa(rapid.IntRange(0, 9999).Draw(t, "quantity")) +
			rapid.SampledFrom([]string{"", "m", "Mi", "k"}).Draw(t, "unit")
		if err := q.Interface().(json.Unmarshaler).UnmarshalJSON([]byte(`"` + text + `"`)); err != nil {
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
		"ProbeHandler", "TypeMeta", "Overhead", "DNSConfig":
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
	decoder := object.NewDecoder[object.Pod]()
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
	decoder := object.NewDecoder[object.Pod]()
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
